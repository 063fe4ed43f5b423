"""What a batch reads of a run's events, as the statements of the database return it.

The only equivalents in Python of `latest_events`, `occurrences`, `run_positions`,
`resume_waiting_states` and `states_at_goal`; a property test compares each with its statement. The
matchers themselves are in domain/conditions and serve both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from drip_pipeline.domain.conditions.occurrences import Occurrence, RunPosition
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE, MESSAGE_EVENT_CHANNELS
from drip_pipeline.domain.graph.event_waits import MATCHED
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.in_memory.store import MemoryRun

_NO_EVENTS: Final[dict[str, datetime]] = {}
_NO_OCCURRENCES: Final[dict[str, list[Occurrence]]] = {}


def latest_events(run: MemoryRun) -> Mapping[str, datetime]:
    """Return the latest time of each event type, in the run or of the contact.

    Of types that belong to a message, events of the latest message count, and those that name no
    message and are later than that. Events by machines do not count.
    """
    if not run.events and not run.contact.events:
        return _NO_EVENTS
    latest: dict[str, datetime] = {}
    for event in run.events:
        message = run.messages.get(MESSAGE_EVENT_CHANNELS.get(event.event_type, ""))
        if message is not None and (
            event.message_id != message.message_id
            if event.message_id is not None
            else event.occurred_at < message.sent_at
        ):
            continue
        _note(latest, event)
    for event in run.contact.events:
        message = run.messages.get(MESSAGE_EVENT_CHANNELS.get(event.event_type, ""))
        if message is None or event.occurred_at >= message.sent_at:
            _note(latest, event)
    return latest


def _note(latest: dict[str, datetime], event: Occurrence) -> None:
    at = latest.get(event.event_type)
    if not event.is_machine and (at is None or event.occurred_at > at):
        latest[event.event_type] = event.occurred_at


def occurrences(run: MemoryRun) -> Mapping[str, list[Occurrence]]:
    """Return the events by type that matchers read: those of the run, of its contact, and of the
    contact's other runs.

    The statement leaves out events of the contact from before the run for types that no matcher
    asks for with `of: any`; the matchers refuse them anyway.
    """
    others = run.contact.runs
    if not run.events and not run.contact.events and len(others) == 1:
        return _NO_OCCURRENCES
    by_type: dict[str, list[Occurrence]] = {}
    for event in run.events:
        by_type.setdefault(event.event_type, []).append(event)
    for event in run.contact.events:
        by_type.setdefault(event.event_type, []).append(event)
    for other in others:
        if other is not run:
            for event in other.events:
                by_type.setdefault(event.event_type, []).append(of_another_run(event))
    return by_type


def of_another_run(event: Occurrence) -> Occurrence:
    """Return an event of a run as the contact's other runs see it."""
    return event._replace(is_of_run=False, is_of_another_run=True)


def position(run: MemoryRun) -> RunPosition:
    """Return what matchers read of a run."""
    since = run.since - EVENT_CLOCK_TOLERANCE
    return RunPosition(run.started_at, since, run.messages, run.entry or {})


def ends_plain_wait(run: MemoryRun, event: Occurrence) -> bool:
    """Return whether a new event ends the wait of a run that asks for its type only.

    `event` is of this run or of its contact.
    """
    if run.wait_for_event != event.event_type or event.is_machine:
        return False
    channel = MESSAGE_EVENT_CHANNELS.get(event.event_type)
    if channel is None:
        return event.occurred_at >= run.since - EVENT_CLOCK_TOLERANCE
    if event.message_id is not None:
        message = run.messages.get(channel)
        return message is not None and message.message_id == event.message_id
    return event.occurred_at >= run.since


def concerns_matched_wait(run: MemoryRun, event: Occurrence) -> bool:
    """Return whether the run's wait judges events like this one; `event` as the run sees it."""
    waited = run.wait_for_event
    if waited is None or not waited.startswith(MATCHED):
        return False
    machine = "machine:" if event.is_machine else ""
    prefix = "any:" if event.is_of_another_run else ""
    return f"{prefix}{machine}{event.event_type}" in waited.removeprefix(MATCHED).split(",")


def goal_event_of(
    graph: CampaignGraph, run: MemoryRun, events: Iterable[Occurrence], now: datetime
) -> Occurrence | None:
    """Return the first of these events that reaches a goal which ends the run; None if none does.

    `events` are of the contact or of its runs in this campaign, in the order of their times.
    """
    goal = graph.goal_event
    if goal is None or not graph.exits_at_goal:
        return None
    started_at = run.started_at.replace(microsecond=0)
    for event in events:
        is_in_time = event.occurred_at >= started_at and not event.is_machine
        if (
            is_in_time
            and event.event_type == goal.event_type
            and goal.judges(event, now, run.entry or {})
        ):
            return event
    return None
