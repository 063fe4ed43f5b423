"""The email overview of A/B tests: the verdicts as text and HTML, without the report pages."""

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
    channel: Channel, sender: str, tests: Sequence[SplitResults], to: Sequence[str], now: datetime
) -> dict[str, int]:
    """Send the overview to each address; return the number of emails by outcome. The message id of
    an address is the same all day, so that email programs recognize a repeated run.
    """
    text, html = overview_text(tests, now), overview_html(tests, now)
    messages = [
        OutgoingMessage(
            delivery_id=uuid5(NAMESPACE_URL, f"drip:ab-report:{now:%Y-%m-%d}:{address}"),
            channel="email",
            recipient=address,
            created_at=now,
            sender=sender,
            subject=subject(tests, now),
            text=text,
            html=html,
            headers={"Auto-Submitted": "auto-generated"},
        )
        for address in dict.fromkeys(to)
    ]
    return dict(Counter(result.outcome.value for result in channel.send(messages)))


def subject(tests: Sequence[SplitResults], now: datetime) -> str:
    """Return the subject with the numbers of running and waiting tests."""
    waiting = sum(test.state == "significant" for test in tests)
    running = sum(test.is_running for test in tests)
    summary = f"A/B tests on {now:%-d %b %Y}: {running} running"
    return f"{summary}, {waiting} waiting for a decision" if waiting else summary


def overview_text(tests: Sequence[SplitResults], now: datetime) -> str:
    """Return the overview as plain text."""
    parts = [f"A/B tests as of {now:%-d %b %Y, %H:%M %Z}"]
    for test in tests:
        lines = [f"{_name(test)}: {_state(test)}", test.explanation(), *warnings(test)]
        parts.append("\n".join([*lines, *_remaining(test)]))
    return "\n\n".join(parts if tests else [*parts, "No campaign has an A/B test yet."]) + "\n"


def overview_html(tests: Sequence[SplitResults], now: datetime) -> str:
    """Return the overview as HTML that email programs display: no style sheet, no image."""
    faint = 'style="color:#5b6875"'
    parts = [f"<h1>A/B tests</h1><p {faint}>As of {now:%-d %b %Y, %H:%M %Z}</p>"]
    for test in tests:
        caveats = "".join(f"<li>{escape(text)}</li>" for text in warnings(test))
        left = "".join(f"<p {faint}>{escape(text)}</p>" for text in _remaining(test))
        parts.append(
            f"<h2>{escape(_name(test))}</h2><p><b>{escape(_state(test))}.</b>"
            f" {escape(test.explanation())}</p>{f'<ul>{caveats}</ul>' if caveats else ''}{left}"
        )
    if not tests:
        parts.append("<p>No campaign has an A/B test yet.</p>")
    return f"<!doctype html><html lang=en><body>{''.join(parts)}</body></html>"


def _name(test: SplitResults) -> str:
    return f"{test.campaign.name}, split {test.experiment.split_node_id}"


def _state(test: SplitResults) -> str:
    return STATES.get(test.state, (test.state, ""))[0]


def _remaining(test: SplitResults) -> list[str]:
    return [f"Estimated time to a decision: {remaining(test)}"] if test.is_running else []
