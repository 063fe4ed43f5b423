"""Load what matchers read for a group of states: the events of their runs and contacts with their
properties, and the positions of the runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import matched_events as matched_events_db
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.db.unreadable import Unreadable
from drip_pipeline.domain.conditions.conditions import Needs
from drip_pipeline.domain.conditions.occurrences import (
    EventTest,
    LatestMessage,
    Occurrence,
    RunPosition,
    event_order,
    is_about_a_message,
)
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.engine.execution.transitions import NO_SENT_MESSAGE, SentMessage

Occurrences: TypeAlias = Mapping[str, Sequence[Occurrence]]
"""The events of a run and its contact, by type."""

NO_OCCURRENCES: Final[Occurrences] = MappingProxyType({})


def load_occurrences(
    connection: Connection,
    states: Sequence[DueState],
    event_types: Collection[str],
    any_types: Collection[str],
) -> tuple[dict[UUID, dict[str, list[Occurrence]]], dict[UUID, str]]:
    """Return the events by state and type, and by state why its events cannot be read.

    Of `any_types` also events from before the run and of other runs. One statement.
    """
    events: dict[UUID, dict[str, list[Occurrence]]] = {}
    unreadable: dict[UUID, str] = {}
    for row in matched_events_db.occurrences(
        connection,
        [state.id for state in states],
        [state.contact_id for state in states],
        sorted(event_types),
        sorted(any_types),
    ):
        data, occurred_at = row.event_data, row.occurred_at
        for value in (data, occurred_at):
            if isinstance(value, Unreadable):
                unreadable[row.enrollment_id] = (
                    f"event {row.event_id} ({row.event_type}): {value.column} cannot be read:"
                    f" {value.reason}"
                )
        if isinstance(data, Unreadable) or isinstance(occurred_at, Unreadable):
            continue
        events.setdefault(row.enrollment_id, {}).setdefault(row.event_type, []).append(
            Occurrence(
                row.event_type,
                occurred_at,
                data,
                data.get("machine") is True,
                row.event_id,
                row.message_id,
                row.node_id,
                row.belongs_to == "run",
                row.belongs_to == "other run",
            )
        )
    return events, unreadable


def load_positions(
    connection: Connection,
    states: Sequence[DueState],
    event_types: Iterable[str],
    message: SentMessage = NO_SENT_MESSAGE,
) -> dict[UUID, RunPosition]:
    """Return the position of each run; its latest messages if one of the types is about a message.

    `message` was just sent to all of these states. One statement.
    """
    positions = {}
    with_messages = any(is_about_a_message(name) for name in event_types)
    for row in matched_events_db.run_positions(
        connection, [state.id for state in states], with_messages=with_messages
    ):
        latest = {}
        if row.email_id is not None and row.emailed_at is not None:
            latest["email"] = LatestMessage(row.email_id, row.emailed_at)
        if row.sms_id is not None and row.texted_at is not None:
            latest["sms"] = LatestMessage(row.sms_id, row.texted_at)
        since = message.sent_at or row.since
        positions[row.id] = RunPosition(row.started_at, since - EVENT_CLOCK_TOLERANCE, latest)
    return positions


class MatchedEvents:
    """The events and positions of a batch's states."""

    def __init__(
        self,
        events: Mapping[UUID, Occurrences] | None = None,
        positions: Mapping[UUID, RunPosition] | None = None,
    ) -> None:
        self._events = events or {}
        self._positions = positions or {}

    def events_of(self, state: DueState) -> Occurrences:
        """Return the events of the state's run and contact, by type."""
        return self._events.get(state.id, NO_OCCURRENCES)

    def position_of(self, state: DueState) -> RunPosition | None:
        """Return the position of the state's run, None if it was not loaded."""
        return self._positions.get(state.id)


NO_MATCHED_EVENTS: Final = MatchedEvents()


def first_matching(
    tests: Sequence[tuple[str, EventTest]],
    events: Occurrences,
    position: RunPosition,
    now: datetime,
    timezone: str | None,
) -> tuple[str, Occurrence] | None:
    """Return the event that ends a wait with the port by which it is left, None if none has.

    Of several, the one that happened first; of several ports for one event, the first.
    """
    best: tuple[str, Occurrence] | None = None
    for port, test in tests:
        of_type = events.get(test.event_type)
        if not of_type:
            continue
        event = test.first_to_satisfy(of_type, position, now, timezone)
        if event is not None and (best is None or event_order(event) < event_order(best[1])):
            best = (port, event)
    return best


def load_matched(
    connection: Connection,
    asking: Iterable[tuple[Needs, Sequence[DueState]]],
    message: SentMessage = NO_SENT_MESSAGE,
) -> tuple[MatchedEvents, dict[UUID, str]]:
    """Load what groups of states need, and return by state why it cannot be read."""
    states: list[DueState] = []
    needs = Needs()
    for of_group, group in asking:
        states += group
        needs |= of_group
    positions = load_positions(connection, states, needs.occurrences, message)
    if not needs.occurrences:
        return MatchedEvents(None, positions), {}
    events, unreadable = load_occurrences(
        connection, states, needs.occurrences, needs.any_occurrences
    )
    return MatchedEvents(events, positions), unreadable
