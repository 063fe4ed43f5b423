"""The explanation of a contact for a terminal: the sentence first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drip_pipeline.db.explanations.one_person import SuppressionRow
from drip_pipeline.engine.explanations.explanation import (
    ExplainedMessage,
    Explanation,
    PathEntry,
    Run,
)
from drip_pipeline.engine.explanations.wording import clock, reason, value

_MOST_EVENT_TYPES = 10


def explanation_text(shown: Explanation) -> RenderableType:
    """Return the explanation as text and tables, which fit a terminal of 80 columns."""
    view = _View(shown.explained_at, shown.person.timezone)
    parts: list[RenderableType] = [Text(shown.sentence, style="bold"), Text("")]
    parts.append(_pairs(_about(shown, view)))
    for run in shown.runs:
        is_first = shown.sentence.startswith(run.place.sentence)
        parts += [Text(""), *_run(run, view, has_sentence=not is_first)]
    if shown.other_runs:
        parts += [Text(""), Text(f"{shown.other_runs:,} older runs are not shown (--all).")]
    return Group(*parts)


class _View:
    """The present and the time zone of all times."""

    def __init__(self, now: datetime, zone: str) -> None:
        self._now, self._zone = now, zone

    def time(self, at: datetime | None) -> str:
        return "" if at is None else clock(at, self._now, self._zone)


def _about(shown: Explanation, view: _View) -> Iterator[tuple[str, str]]:
    person = shown.person
    yield "contact", "  ".join(filter(None, (person.email, person.name)))
    yield "id", str(person.id)
    yield "workspace", person.workspace
    yield "phone", person.phone or ""
    yield "company", ", ".join(filter(None, (person.company, person.job_title)))
    score = "" if person.ai_score is None else f", score {person.ai_score}"
    yield "status", f"{person.status or '-'}{score}"
    yield "tags", ", ".join(person.tags)
    if isinstance(person.custom_fields, dict):
        for name, raw in person.custom_fields.items():
            if name == "timezone" and raw == person.timezone:
                continue  # below
            yield name, raw if isinstance(raw, str) else value(raw)
    yield "times in", person.timezone
    for row in shown.suppressions:
        yield "suppressed" if row.applies else "was suppressed", _suppression(row, view)
    for topic in shown.topics:
        since = f" on {view.time(topic.changed_at)}" if topic.changed_at else ""
        by = " by an operator" if topic.is_by_operator else ""
        yield "topic", f"{topic.name}: {topic.status}{since}{by}"
    if shown.is_in_holdout:
        yield "holdout", "gets no marketing messages"
    events = [
        f"{event.event_type} {event.events:,} (last {view.time(event.latest_at)})"
        for event in shown.own_events[:_MOST_EVENT_TYPES]
    ]
    yield "events", "\n".join(events)
    for sentence in shown.unreadable:
        yield "unreadable", sentence
    if shown.same_address:
        yield "same address", ", ".join(map(str, shown.same_address))


def _suppression(row: SuppressionRow, view: _View) -> str:
    scope = row.channel or "all channels"
    campaign = f" of {row.campaign!r}" if row.campaign_id else ""
    note = f": {row.note}" if row.note else ""
    text = f"{scope}{campaign}, {reason(row.reason)} (from {row.source},"
    former = "" if row.applies else "; a former address, so it does not apply"
    return f"{text} {view.time(row.created_at)}, {row.address}){note}{former}"


def _pairs(pairs: Iterable[tuple[str, str]]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in pairs:
        if text:
            table.add_row(Text(name), Text(text))
    return table


# --- runs -----------------------------------------------------------------------------------------


def _run(run: Run, view: _View, *, has_sentence: bool) -> Iterator[RenderableType]:
    yield Text(_heading(run), style="bold")
    if has_sentence:
        yield _indented(Text(run.place.sentence))
    if run.is_cut:
        yield _indented(Text("Earlier entries are not shown (--all).", style="dim"))
    yield from _section("Path", ((view.time(e.at), e.step, _entry(e)) for e in run.path))
    variants = (
        (view.time(v.assigned_at), v.step, _variant(v.variant, v.winner, is_holdout=v.is_holdout))
        for v in run.variants
    )
    yield from _section("Variants", variants)
    messages = ((view.time(m.sent_at), m.step, _message(m, view)) for m in run.messages)
    yield from _section("Messages", messages)
    unsent = ((view.time(m.at), m.step, f"{m.what}: {m.text}") for m in run.not_sent)
    yield from _section("Not sent", unsent)


def _heading(run: Run) -> str:
    number = f", run {run.number}" if run.number > 1 else ""
    key = f", key {run.entry_key}" if run.entry_key and not run.entry_key.startswith("run-") else ""
    version = f" version {run.version}" if run.version else ""
    return f"{run.campaign}{version}{number}{key}: {run.place.status.replace('_', ' ')}"


def _section(title: str, rows: Iterable[tuple[str, str | None, str]]) -> Iterator[RenderableType]:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(max_width=24, overflow="fold")
    table.add_column(overflow="fold")
    before = ""
    for time, step, text in rows:
        table.add_row(Text("" if time == before else time), Text(step or ""), Text(text))
        before = time
    if table.row_count:
        yield _indented(Text(title, style="underline"))
        yield _indented(table, 4)


def _indented(content: RenderableType, columns: int = 2) -> Padding:
    return Padding(content, (0, 0, 0, columns), expand=False)


def _entry(entry: PathEntry) -> str:
    if not entry.compared:
        return entry.text
    values = ", ".join(f"{name} {value(raw)}" for name, raw in entry.compared.items())
    return f"{entry.text} — {values}"


def _variant(variant: str, winner: str | None, *, is_holdout: bool) -> str:
    own = f"{variant} (holdout)" if is_holdout else variant
    if winner is None:
        return own
    return f"{own}, which won" if winner == variant else f"{own}; {winner} won"


def _message(message: ExplainedMessage, view: _View) -> str:
    happened: Sequence[tuple[str, datetime | None, int]] = (
        ("delivered", message.delivered_at, 1),
        ("opened", message.opened_at, message.opens),
        ("opened by a machine", message.opened_by_machine_at, 1),
        ("clicked", message.clicked_at, message.clicks),
        ("replied", message.replied_at, 1),
        ("converted", message.converted_at, 1),
        ("bounced", message.bounced_at, 1),
        ("failed", message.failed_at, 1),
        ("unsubscribed", message.unsubscribed_at, 1),
        ("reported as spam", message.complained_at, 1),
    )
    parts = [
        f"{what} {view.time(at)}" + (f" ({times:,} times)" if times > 1 else "")
        for what, at, times in happened
        if at is not None
    ]
    sent = message.channel if message.is_certain else f"{message.channel}, assumed sent"
    result = "recorded, not sent" if message.is_recorded else "sent"
    variant = f", variant {message.variant}" if message.variant else ""
    return f"{sent}{variant}: {', '.join(parts) or result}"
