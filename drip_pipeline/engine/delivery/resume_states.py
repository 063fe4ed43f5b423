"""Where people go whose delivery is settled: on, out, or to the failed; always of states that the
settling transaction holds locked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.execution.advance import advance_states
from drip_pipeline.engine.execution.commit import commit
from drip_pipeline.engine.execution.transitions import (
    NO_SENT_MESSAGE,
    Batch,
    DueState,
    EventNote,
    SentMessage,
    Transition,
    group_by_position,
)

Row = Mapping[str, Any]
Parked = tuple[Any, ...]
"""A locked state, the delivery that it is parked on, and its campaign's status, as
`lock_of_deliveries` gives them."""
_STATE: Final = slice(len(DueState._fields))
DELIVERY_ID: Final = len(DueState._fields)
_CAMPAIGN_STATUS: Final = DELIVERY_ID + 1


def _locked(connection: Connection, rows: Sequence[Row]) -> list[Parked]:
    return states_db.lock_of_deliveries(
        connection, [row["id"] for row in rows], [row["enrollment_id"] for row in rows]
    )


def carry_people_on(
    connection: Connection, rows: Sequence[Row], batch_id: UUID, now: datetime
) -> None:
    """Let the people of these deliveries leave the node where they waited; nothing went out."""
    carry_parked_on(connection, _locked(connection, rows), batch_id, now)


def carry_parked_on(
    connection: Connection,
    parked: Sequence[Parked],
    batch_id: UUID,
    now: datetime,
    *,
    message: SentMessage = NO_SENT_MESSAGE,
) -> None:
    """Let them leave the node where they waited, `message` being what went out to them."""
    running = [DueState._make(row[_STATE]) for row in parked if row[_CAMPAIGN_STATUS] == "active"]
    halted = [DueState._make(row[_STATE]) for row in parked if row[_CAMPAIGN_STATUS] != "active"]
    places = group_by_position(running)
    going = {p: people for p, people in places.items() if p.enrollment_status != "paused"}
    paused = [
        person
        for p, people in places.items()
        if p.enrollment_status == "paused"
        for person in people
    ]
    if going:
        advance_states(connection, going, batch_id=batch_id, now=now, message=message)
    # The message is out, but the campaign or the enrollment was paused meanwhile: they leave this
    # node when it is resumed.
    for people, status in ((halted, "running"), (paused, "paused")):
        _commit(connection, people, batch_id, now, message=message, status=status, due_at=now)


def end_people(
    connection: Connection,
    rows: Sequence[Row],
    exit_reason: str,
    enrollment_status: str,
    batch_id: UUID,
    now: datetime,
) -> None:
    """Let them leave the campaign, with the reason."""
    _commit(
        connection,
        [DueState._make(row[_STATE]) for row in _locked(connection, rows)],
        batch_id,
        now,
        status="exited",
        exit_reason=exit_reason,
        enrollment_status=enrollment_status,
        event_type="enrollment_exited",
        event_data={"reason": exit_reason},
    )


def fail_people(
    connection: Connection, rows: Sequence[Row], error: str, batch_id: UUID, now: datetime
) -> None:
    """Their run failed; requeueing brings it back to this delivery."""
    parked = _locked(connection, rows)
    _commit(
        connection,
        [DueState._make(row[_STATE]) for row in parked],
        batch_id,
        now,
        status="failed",
        error=error,
        delivery_of={row[0]: row[DELIVERY_ID] for row in parked},
        event_type="enrollment_failed",
        event_data={"error": error},
    )


def _commit(
    connection: Connection,
    people: Sequence[DueState],
    batch_id: UUID,
    now: datetime,
    *,
    status: Any,
    message: SentMessage = NO_SENT_MESSAGE,
    event_type: str | None = None,
    event_data: Mapping[str, Any] | None = None,
    delivery_of: Mapping[UUID, UUID] | None = None,
    **fields: Any,
) -> None:
    """The same thing for everybody, wherever they stand. Who goes on from there leaves the node
    where the message was made, or enters the one that another version has for them."""
    by_node: dict[tuple[str, str | None], list[DueState]] = {}
    for person in people:
        by_node.setdefault((person.current_node_id, person.resume_port), []).append(person)
    transitions = tuple(
        Transition(
            states=group,
            node_id=node_id,
            step_id=None,
            status=status,
            events=(EventNote(event_type, node_id, None, event_data or {}),) if event_type else (),
            delivery_ids=[delivery_of[p.id] for p in group] if delivery_of else None,
            resume_port=resume_port,
            **fields,
        )
        for (node_id, resume_port), group in by_node.items()
    )
    if transitions:
        commit(
            connection,
            Batch(transitions),
            batch_id=batch_id,
            now=now,
            message=message,
        )
