"""The overview of A/B tests by email: the verdicts in words, to a list of people. The pages stay
where they are written; a mail carries what fits into one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from html import escape
from uuid import NAMESPACE_URL, uuid5

from drip_pipeline.channels.protocol import Channel, OutgoingMessage
from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.reports.wording import STATES, remaining, warnings


def mail_overview(
    channel: Channel, sender: str, found: Sequence[SplitResults], to: Sequence[str], now: datetime
) -> dict[str, int]:
    """Send the overview to each address; how many by outcome. The same address gets the same
    message id all day: a run that is repeated is recognized by who reads it.
    """
    text, html = overview_text(found, now), overview_html(found, now)
    messages = [
        OutgoingMessage(
            delivery_id=uuid5(NAMESPACE_URL, f"drip:ab-report:{now:%Y-%m-%d}:{address}"),
            channel="email",
            recipient=address,
            created_at=now,
            sender=sender,
            subject=subject(found, now),
            text=text,
            html=html,
            headers={"Auto-Submitted": "auto-generated"},
        )
        for address in dict.fromkeys(to)
    ]
    return dict(Counter(result.outcome.value for result in channel.send(messages)))


def subject(found: Sequence[SplitResults], now: datetime) -> str:
    """What the mail is about, with the figures one looks for."""
    waiting = sum(one.state == "significant" for one in found)
    running = sum(one.is_running for one in found)
    told = f"A/B tests on {now:%-d %b %Y}: {running} running"
    return f"{told}, {waiting} waiting for a decision" if waiting else told


def overview_text(found: Sequence[SplitResults], now: datetime) -> str:
    """The overview as plain text."""
    parts = [f"A/B tests as of {now:%-d %b %Y, %H:%M %Z}"]
    for one in found:
        lines = [f"{_name(one)}: {_state(one)}", one.explanation(), *warnings(one)]
        parts.append("\n".join([*lines, *_left(one)]))
    return "\n\n".join(parts if found else [*parts, "No campaign has an A/B test yet."]) + "\n"


def overview_html(found: Sequence[SplitResults], now: datetime) -> str:
    """The overview as HTML that mail programs keep: no style sheet, no picture."""
    faint = 'style="color:#5b6875"'
    parts = [f"<h1>A/B tests</h1><p {faint}>As of {now:%-d %b %Y, %H:%M %Z}</p>"]
    for one in found:
        told = "".join(f"<li>{escape(words)}</li>" for words in warnings(one))
        left = "".join(f"<p {faint}>{escape(words)}</p>" for words in _left(one))
        parts.append(
            f"<h2>{escape(_name(one))}</h2><p><b>{escape(_state(one))}.</b>"
            f" {escape(one.explanation())}</p>{f'<ul>{told}</ul>' if told else ''}{left}"
        )
    if not found:
        parts.append("<p>No campaign has an A/B test yet.</p>")
    return f"<!doctype html><html lang=en><body>{''.join(parts)}</body></html>"


def _name(one: SplitResults) -> str:
    return f"{one.campaign.name}, split {one.experiment.split_node_id}"


def _state(one: SplitResults) -> str:
    return STATES.get(one.state, (one.state, ""))[0]


def _left(one: SplitResults) -> list[str]:
    return [f"How long it may still take: {remaining(one)}"] if one.is_running else []
