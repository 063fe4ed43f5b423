"""Where people go whose delivery is settled: on, out, or to the failed; always of states that the
settling transaction holds locked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import states as states_db
from drip_pipeline.db.connection import Connection
from drip_pipeline.engine.advance import carry_on
from drip_pipeline.engine.commit import commit
from drip_pipeline.engine.transitions import (
    NO_MESSAGE,
    Batch,
    DueState,
    EventNote,
    Message,
    Transition,
)

Row = Mapping[str, Any]


def _locked(
    connection: Connection, rows: Sequence[Row]
) -> tuple[list[DueState], list[DueState], dict[UUID, UUID]]:
    """States parked on these deliveries: (of active campaigns, of paused ones, delivery by
    state)."""
    locked = states_db.lock_of_deliveries(
        connection, [row["id"] for row in rows], [row["enrollment_id"] for row in rows]
    )
    running = [DueState(*row[:10]) for row in locked if row[11] == "active"]
    halted = [DueState(*row[:10]) for row in locked if row[11] != "active"]
    return running, halted, {row[0]: row[10] for row in locked}


def carry_people_on(
    connection: Connection,
    rows: Sequence[Row],
    batch_id: UUID,
    now: datetime,
    *,
    message: Message = NO_MESSAGE,
) -> set[UUID]:
    """Let them leave the node where they waited, `message` being what went out to them; who did."""
    running, halted, _ = _locked(connection, rows)
    going = [person for person in running if person.enrollment_status != "paused"]
    paused = [person for person in running if person.enrollment_status == "paused"]
    moved: set[UUID] = set()
    if going:
        written = carry_on(connection, going, batch_id=batch_id, now=now, message=message)
        moved |= written.written_ids()
    # The message is out, but the campaign or the enrolment was paused meanwhile: they leave this
    # node when it is resumed.
    for people, status in ((halted, "running"), (paused, "paused")):
        _commit(connection, people, batch_id, now, message=message, status=status, due_at=now)
        moved.update(person.id for person in people)
    return moved


def end_people(
    connection: Connection,
    rows: Sequence[Row],
    exit_reason: str,
    enrollment_status: str,
    batch_id: UUID,
    now: datetime,
) -> None:
    """Let them leave the campaign, with the reason."""
    running, halted, _ = _locked(connection, rows)
    _commit(
        connection,
        running + halted,
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
    running, halted, delivery_of = _locked(connection, rows)
    _commit(
        connection,
        running + halted,
        batch_id,
        now,
        status="failed",
        error=error,
        delivery_of=delivery_of,
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
    message: Message = NO_MESSAGE,
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
            people=group,
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
