"""Compare the run of a person with what its scenario expects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from drip_pipeline.domain.conditions.field_names import read_field
from drip_pipeline.domain.contact_fields import contact_context
from drip_pipeline.domain.definition.problems import shorten
from drip_pipeline.domain.graph.contact_waits import FOLLOWED
from drip_pipeline.domain.graph.event_waits import MATCHED
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.scenarios.scenario_file import Expectation, ExpectedMessage
from drip_pipeline.engine.scenarios.contact_values import FIELD_ALIASES
from drip_pipeline.engine.scenarios.explain import time_text, why_left
from drip_pipeline.engine.scenarios.recorder import SentInScenario
from drip_pipeline.engine.scenarios.walk import Walk

_NODES_BEFORE = 4


def differences(graph: CampaignGraph, expect: Expectation, walk: Walk) -> list[str]:
    """Return lines on what differs, [] if nothing does. They fit on one screen."""
    lines: list[str] = []
    if expect.path is not None:
        lines += _path(graph, expect.path, walk)
    lines += _end(expect, walk)
    if expect.messages is not None:
        lines += _messages(expect.messages, walk)
    if expect.skipped is not None:
        expected = [(each.node, each.reason) for each in expect.skipped]
        actual = [
            (each.node_id, each.reason if number >= len(expected) or expected[number][1] else None)
            for number, each in enumerate(walk.record.skipped)
        ]
        if expected != actual:
            lines.append(f"skipped messages: expected {_skips(expected)}, were {_skips(actual)}")
    lines += _contact(expect, walk)
    for event, reason in walk.unused:
        lines.append(f"the event {event.event_type} did not happen: {reason}")
    return lines


def _path(graph: CampaignGraph, expected: Sequence[str], walk: Walk) -> Iterator[str]:
    actual = walk.record.path
    if list(expected) == actual:
        return
    same = 0
    while same < min(len(expected), len(actual)) and expected[same] == actual[same]:
        same += 1
    before = actual[max(0, same - _NODES_BEFORE) : same]
    dots = "… " if same > _NODES_BEFORE else ""
    yield f"path: {dots}{' → '.join(before) or '(nothing)'}, then it parts"
    yield f"  expected: {expected[same] if same < len(expected) else 'the end of the path'}"
    if same < len(actual):
        yield f"  went to:  {actual[same]}"
    else:
        yield f"  went no further: {state_of(walk)}"
    if same and (same < len(actual) or same == len(actual)):
        yield from (f"  {line}" for line in why_left(graph, walk, same - 1))


def state_of(walk: Walk) -> str:
    """Return the status of a run in words."""
    run = walk.run
    if run.status == "exited":
        return f"exited at {run.node_id}, reason {run.exit_reason}"
    if run.status == "refused":
        return f"did not enter: {run.exit_reason}"
    if run.status == "failed":
        return f"failed at {run.node_id}: {shorten(run.last_error or '', 200)}"
    if run.status == "waiting" and run.due_at is not None:
        waited = (run.wait_for_event or "").removeprefix(MATCHED)
        event = f" or {waited}" if waited and not waited.startswith(FOLLOWED) else ""
        return f"waits at {run.node_id} until {time_text(run.due_at)}{event}"
    return f"{run.status} at {run.node_id}"


def _end(expect: Expectation, walk: Walk) -> Iterator[str]:
    run = walk.run
    if expect.status is not None and expect.status != run.status:
        yield f"status: expected {expect.status}, is {run.status} ({state_of(walk)})"
    if expect.reason is not None and expect.reason != run.exit_reason:
        yield f"reason: expected {expect.reason}, is {run.exit_reason or 'none'}"
    if expect.node is not None and expect.node != run.node_id:
        yield f"node: expected {expect.node}, is {run.node_id}"


def _messages(expected: Sequence[ExpectedMessage], walk: Walk) -> Iterator[str]:
    sent = walk.record.sent
    for number, (message, actual) in enumerate(zip(expected, sent, strict=False), 1):
        if message.node != actual.node_id:
            yield (
                f"message {number}: expected {message.node}, {actual.node_id} was sent at"
                f" {time_text(actual.at)}"
            )
            break
        yield from _message(message, actual, walk.entered_at)
    for message in expected[len(sent) :]:
        why = [f" ({each.reason})" for each in walk.record.skipped if each.node_id == message.node]
        yield f"message {message.node} was not sent{''.join(why[:1])}"
    for actual in sent[len(expected) :]:
        yield f"message {actual.node_id} was sent at {time_text(actual.at)}, and is not expected"


def _message(
    expected: ExpectedMessage, actual: SentInScenario, entered_at: datetime
) -> Iterator[str]:
    name = f"message {expected.node}"
    if expected.at is not None:
        at = actual.at if expected.at.second else actual.at.replace(second=0, microsecond=0)
        if expected.at != at:
            times = f"expected at {time_text(expected.at)}, was sent at {time_text(actual.at)}"
            yield f"{name}: {times}"
    if expected.within is not None:
        after = actual.at - entered_at
        earliest, latest = expected.within
        if not earliest <= after <= latest:
            yield (
                f"{name}: expected {_length(earliest)} to {_length(latest)} after entering, was"
                f" sent {_length(after)} after ({time_text(actual.at)})"
            )
    if expected.subject is not None and expected.subject != actual.subject:
        yield (
            f"{name}: expected the subject {shorten(expected.subject, 120)}, it is"
            f" {shorten(actual.subject, 120)}"
        )
    if expected.contains is not None and expected.contains not in actual.text:
        yield f"{name}: does not contain {shorten(expected.contains, 120)}"


def _length(length: timedelta) -> str:
    seconds = round(length.total_seconds())
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= size:
            parts.append(f"{seconds // size} {unit}")
            seconds %= size
    return " ".join(parts) or "0 min"


def _skips(pairs: Sequence[tuple[str, str | None]]) -> str:
    return ", ".join(f"{node} ({why})" if why else node for node, why in pairs) or "none"


def _contact(expect: Expectation, walk: Walk) -> Iterator[str]:
    row = walk.run.contact.row
    if expect.tags is not None and set(expect.tags) != set(row["tags"]):
        yield f"tags: expected {sorted(expect.tags)}, are {sorted(row['tags'])}"
    values = contact_context(row)
    for name, expected in (expect.fields or {}).items():
        actual = read_field(values, FIELD_ALIASES.get(name, name))
        if _comparable(actual) != _comparable(expected):
            yield f"field {name}: expected {shorten(expected)}, is {shorten(actual)}"


def _comparable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
