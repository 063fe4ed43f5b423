"""Ending the runs of people wherever they stand: with a reason, in the log and on the enrollment.
Who is to be ended, others decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.engine.execution.commit import commit
from drip_pipeline.engine.execution.transitions import Batch, DueState, EventNote, Transition


def end_runs(
    connection: Connection,
    people: Sequence[DueState],
    *,
    exit_reason: str,
    enrollment_status: str,
    batch_id: UUID,
    now: datetime,
) -> None:
    """Let people exit whose states the caller's transaction holds locked.

    `enrollment_status` is what applications read; messages still in the outbox are held back at the
    last gate.
    """
    by_node: dict[str, list[DueState]] = {}
    for person in people:
        by_node.setdefault(person.current_node_id, []).append(person)
    transitions = tuple(
        Transition(
            people=group,
            node_id=node_id,
            step_id=None,
            status="exited",
            events=(EventNote("enrollment_exited", node_id, None, {"reason": exit_reason}),),
            exit_reason=exit_reason,
            enrollment_status=enrollment_status,
        )
        for node_id, group in by_node.items()
    )
    if transitions:
        commit(connection, Batch(transitions), batch_id=batch_id, now=now)
