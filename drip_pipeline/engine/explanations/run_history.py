"""The path of a run, its messages and variants, in words: from the event log and the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.explanations.one_person import LoggedEvent, MessageRow, VariantRow
from drip_pipeline.domain.conditions.compared_values import COMPARED
from drip_pipeline.domain.diff.describe import condition
from drip_pipeline.domain.events.vocabulary import EVENT_TYPES, SUPPRESSING_EVENT_TYPES
from drip_pipeline.domain.graph.contact_waits import PORT_MET, PORT_MISSING, PORT_PAST
from drip_pipeline.domain.graph.graph import PORT_DEFAULT, PORT_TIMEOUT, CampaignGraph, NodeType
from drip_pipeline.domain.graph.nodes import ConditionConfig, ConditionWait, DateWait, SplitConfig
from drip_pipeline.engine.explanations.exit_reasons import exit_rule, exit_text, rule_text
from drip_pipeline.engine.explanations.explanation import (
    ExplainedMessage,
    PathEntry,
    RunVariant,
    WithheldMessage,
)
from drip_pipeline.engine.explanations.wording import clock, reason, rule
from drip_pipeline.iso_times import read_time

_SENT: Final = frozenset({"email_sent", "sms_sent", "webhook_succeeded"})
_NOT_SENT: Final = frozenset({"message_held", "message_skipped", "retry_scheduled"})
_FAILED: Final = frozenset(
    {"email_failed", "sms_failed", "social_failed", "webhook_failed", "email_suppressed"}
)
PATH_EVENTS: Final = frozenset(
    {
        *(name for name, kind in EVENT_TYPES.items() if kind.engine and name != "converted"),
        *SUPPRESSING_EVENT_TYPES,
        "email_replied",
        "sms_replied",
    }
)
"""The event types of a path; opens and clicks are shown with their message."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time zone and the present, for times inside of texts."""

    now: datetime
    zone: str | None

    def text(self, time: object) -> str:
        """Return a time of the event log as text; others as they are."""
        if not isinstance(time, str):
            return str(time)
        try:
            return clock(read_time(time), self.now, self.zone)
        except ValueError:
            return time


class Graphs:
    """The graphs of the versions that a contact's runs have been in."""

    def __init__(self, by_version: Mapping[int, CampaignGraph]) -> None:
        self._by_version = by_version

    def graph(self, version: int | None) -> CampaignGraph | None:
        """Return the graph of a version; None if it is not stored."""
        return None if version is None else self._by_version.get(version)

    def step(self, version: int | None, node_id: str | None) -> str | None:
        """Return the name of a node's step, its id if the version does not have it."""
        graph = self.graph(version)
        node = graph.nodes.get(node_id) if graph and node_id else None
        return node_id if node is None else node.step_name


_RANKS: Final = {
    "enrollment_started": -1,
    "enrollment_completed": 1,
    "enrollment_exited": 1,
    "enrollment_failed": 1,
}
_MILLISECOND: Final = timedelta(milliseconds=1)


def in_order(events: Sequence[LoggedEvent], nodes: Sequence[str]) -> list[LoggedEvent]:
    """Return the events of a run in the order in which it passed its nodes.

    Batches of the same instant have the same times, up to microseconds within each batch; there the
    order is that of `nodes`, the execution path.
    """
    ordered: list[LoggedEvent] = []
    passed = 0
    start = 0
    for end in range(1, len(events) + 1):
        if end < len(events) and events[end].at - events[end - 1].at < _MILLISECOND:
            continue
        places = {}
        for event in events[start:end]:
            if event.node_id not in places:
                places[event.node_id] = _place(nodes, event.node_id, passed)
        at_once = sorted(
            events[start:end],
            key=lambda event: (
                _RANKS.get(event.event_type, 0) < 0 and -1,
                places[event.node_id],
                _RANKS.get(event.event_type, 0),
                event.at,
            ),
        )
        ordered += at_once
        passed = max((place for place in places.values() if place < len(nodes)), default=passed)
        start = end
    return ordered


def _place(nodes: Sequence[str], node_id: str | None, passed: int) -> int:
    """Return the position of a node in the path, from `passed` on if it is there."""
    if node_id is None or node_id not in nodes:
        return len(nodes)
    try:
        return nodes.index(node_id, passed)
    except ValueError:
        return nodes.index(node_id)


def path_of(
    events: Sequence[LoggedEvent], graphs: Graphs, clock: Clock, recorded: Collection[UUID] = ()
) -> list[PathEntry]:
    """Return what happened in a run, in the order of time; `events` are in it. `recorded`:
    messages that were stored in place of being sent."""
    return [
        PathEntry(
            event.at,
            event.node_id,
            graphs.step(event.version, event.node_id),
            event.event_type,
            "recorded"
            if event.message_id in recorded and event.event_type in _SENT
            else _text(event, graphs, clock),
            event.data.get(COMPARED) or {},
        )
        for event in events
        if not _is_repeated(event)
    ]


def _is_repeated(event: LoggedEvent) -> bool:
    """Return whether another event of the same instant says the same."""
    return event.event_type == "webhook_triggered"


def _text(event: LoggedEvent, graphs: Graphs, clock: Clock) -> str:
    describe = _TEXTS.get(event.event_type)
    if describe is not None:
        return describe(event, graphs, clock)
    kind = EVENT_TYPES.get(event.event_type)
    return kind.description if kind else event.event_type


def _branch(event: LoggedEvent, graphs: Graphs, _clock: Clock) -> str:
    branch = str(event.data.get("branch", ""))
    graph = graphs.graph(event.version)
    node = graph.nodes.get(event.node_id or "") if graph else None
    if node is None or not isinstance(node.config, ConditionConfig):
        return f"took {branch!r}"
    chosen = next((each for each in node.config.branches if each.id == branch), None)
    if chosen is None:
        return f"took {branch!r}"
    return f"took {chosen.label or branch!r}: {condition(chosen.condition)}"


def _variant(event: LoggedEvent, graphs: Graphs, _clock: Clock) -> str:
    holdout = ", a holdout" if event.data.get("is_holdout") else ""
    graph = graphs.graph(event.version)
    node = graph.nodes.get(event.node_id or "") if graph else None
    name = event.variant_group
    if node is not None and isinstance(node.config, SplitConfig):
        name = next((v.name or v.id for v in node.config.variants if v.id == name), name)
    return f"got the variant {name!r}{holdout}"


_CONTACT_PORTS: Final = {
    PORT_PAST: "the date was past",
    PORT_MISSING: "the contact had no date",
    PORT_MET: "the condition held",
    PORT_TIMEOUT: "the condition did not hold in time",
}


def _wait_started(event: LoggedEvent, _graphs: Graphs, clock: Clock) -> str:
    until = clock.text(event.data.get("until"))
    awaited = event.data.get("event_type")
    return f"waits for {awaited}, until {until} at most" if awaited else f"waits until {until}"


def _wait_moved(event: LoggedEvent, _graphs: Graphs, clock: Clock) -> str:
    return f"the contact changed, and the wait ends on {clock.text(event.data.get('until'))}"


def _wait_completed(event: LoggedEvent, graphs: Graphs, _clock: Clock) -> str:
    port = str(event.data.get("port", PORT_DEFAULT))
    graph = graphs.graph(event.version)
    node = graph.nodes.get(event.node_id or "") if graph else None
    if node is not None and isinstance(node.config, DateWait | ConditionWait):
        return _CONTACT_PORTS.get(port, "the wait ended")
    if port == PORT_DEFAULT:
        return "the wait ended"
    if port == PORT_TIMEOUT:
        return "the wait ended without the event"
    awaited = event.data.get("event_type")
    return f"the wait ended by {awaited}" if awaited else f"the wait ended by way of {port!r}"


def _score(data: Mapping[str, Any]) -> str:
    return f"set the score to {data['set']}" if "set" in data else f"score {data.get('delta', 0):+}"


def _held(event: LoggedEvent, _graphs: Graphs, clock: Clock) -> str:
    name = rule(str(event.data.get("rule", "")))
    return f"{name} holds the message until {clock.text(event.data.get('until'))}"


def _retry(event: LoggedEvent, _graphs: Graphs, _clock: Clock) -> str:
    return f"attempt {event.data.get('attempt', '?')} failed: {_error(event)}"


def _exit_reason(event: LoggedEvent, graphs: Graphs) -> str:
    data = event.data
    return exit_text(data.get("reason"), graphs.graph(event.version), data.get("exit"))


def _skip_reason(event: LoggedEvent, graphs: Graphs) -> str:
    rule = exit_rule(None, graphs.graph(event.version), event.data.get("exit"))
    return reason(event.data.get("reason")) if rule is None else rule_text(rule)


def _error(event: LoggedEvent) -> str:
    return str(event.data.get("error") or reason(event.data.get("reason")))


_TEXTS: Final[Mapping[str, Callable[[LoggedEvent, Graphs, Clock], str]]] = {
    "enrollment_started": lambda event, _g, _c: "entered",
    "enrollment_completed": lambda event, _g, _c: "finished",
    "enrollment_exited": lambda event, graphs, _c: f"left: {_exit_reason(event, graphs)}",
    "enrollment_failed": lambda event, _g, _c: f"failed: {_error(event)}",
    "enrollment_migrated": lambda event, _g, _c: f"moved to version {event.version}",
    "email_sent": lambda _e, _g, _c: "sent",
    "sms_sent": lambda _e, _g, _c: "sent",
    "goal_reached": lambda event, _g, _c: f"reached the goal by {event.data.get('event_type')}",
    "tag_added": lambda event, _g, _c: f"added the tag {event.data.get('tag')!r}",
    "tag_removed": lambda event, _g, _c: f"removed the tag {event.data.get('tag')!r}",
    "field_updated": lambda event, _g, _c: f"set the field {event.data.get('field')!r}",
    "score_updated": lambda event, _g, _c: _score(event.data),
    "condition_evaluated": _branch,
    "variant_assigned": _variant,
    "wait_started": _wait_started,
    "wait_moved": _wait_moved,
    "wait_completed": _wait_completed,
    "message_held": _held,
    "message_skipped": lambda event, graphs, _c: f"not sent: {_skip_reason(event, graphs)}",
    "retry_scheduled": _retry,
    **dict.fromkeys(_FAILED, lambda event, _g, _c: f"not sent: {_error(event)}"),
}


# --- messages -------------------------------------------------------------------------------------

# The first that has a time is the result that is shown.
_RESULTS: Final[Sequence[tuple[str, str]]] = (
    ("complained_at", "reported as spam"),
    ("unsubscribed_at", "unsubscribed"),
    ("failed_at", "failed"),
    ("bounced_at", "bounced"),
    ("first_converted_at", "converted"),
    ("first_replied_at", "replied"),
    ("first_clicked_at", "clicked"),
    ("first_opened_at", "opened"),
    ("delivered_at", "delivered"),
    ("soft_bounced_at", "bounced for now"),
)


def messages_of(rows: Sequence[MessageRow], graphs: Graphs) -> list[ExplainedMessage]:
    """Return the sent messages of a run."""
    return [
        ExplainedMessage(
            message_id=row.message_id,
            node_id=row.node_id,
            step=graphs.step(row.version, row.node_id) or row.node_id,
            channel=row.channel,
            variant=row.variant_group,
            sent_at=row.sent_at,
            result=next((word for name, word in _RESULTS if getattr(row, name)), "sent"),
            is_certain=row.certainty == "known",
            is_recorded=row.is_recorded,
            delivered_at=row.delivered_at,
            opened_at=row.first_opened_at,
            opens=row.open_count,
            opened_by_machine_at=row.first_machine_opened_at,
            clicked_at=row.first_clicked_at,
            clicks=row.click_count,
            replied_at=row.first_replied_at,
            converted_at=row.first_converted_at,
            conversion_value=row.conversion_value,
            unsubscribed_at=row.unsubscribed_at,
            complained_at=row.complained_at,
            bounced_at=row.bounced_at or row.soft_bounced_at,
            failed_at=row.failed_at,
        )
        for row in rows
    ]


def not_sent(events: Sequence[LoggedEvent], graphs: Graphs, clock: Clock) -> list[WithheldMessage]:
    """Return the messages of a run that did not go out, or not at once, with the rule of each."""
    unsent = []
    for event in events:
        if not _is_about_unsent(event, graphs):
            continue
        data = event.data
        until = data.get("until") or data.get("due_at")
        unsent.append(
            WithheldMessage(
                at=event.at,
                node_id=event.node_id,
                step=graphs.step(event.version, event.node_id),
                what=_WHAT.get(event.event_type, "failed"),
                rule=str(data.get("rule") or data.get("reason") or event.event_type),
                text=_text(event, graphs, clock),
                until=_time(until),
            )
        )
    return unsent


_WHAT: Final = {"message_held": "held", "message_skipped": "skipped", "retry_scheduled": "retried"}


def _is_about_unsent(event: LoggedEvent, graphs: Graphs) -> bool:
    if event.event_type == "retry_scheduled":  # of a message, or of another node
        graph = graphs.graph(event.version)
        node = graph.nodes.get(event.node_id or "") if graph else None
        return node is not None and node.node_type in (NodeType.EMAIL, NodeType.ACTION)
    if event.event_type == "email_bounced":  # refused when it was handed over
        return "error" in event.data
    return event.event_type in _NOT_SENT or event.event_type in _FAILED


def _time(value: Any) -> datetime | None:
    try:
        return read_time(value) if isinstance(value, str) else None
    except ValueError:
        return None


def variants_of(rows: Sequence[VariantRow], graphs: Graphs) -> list[RunVariant]:
    """Return the variants of a run."""
    return [
        RunVariant(
            split_node_id=row.split_node_id,
            step=graphs.step(row.version, row.split_node_id),
            variant=row.variant,
            is_holdout=row.is_holdout,
            is_randomized=row.is_randomized,
            assigned_at=row.assigned_at,
            winner=row.winner,
            decided_at=row.decided_at,
        )
        for row in rows
    ]
