"""Exit running enrollments, with a reason, in the event log and on the enrollment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.engine.execution.commit import commit
from drip_pipeline.engine.execution.transitions import (
    Batch,
    EventNote,
    Transition,
)


def end_runs(
    connection: Connection,
    states: Sequence[DueState],
    *,
    exit_reason: str,
    enrollment_status: str,
    batch_id: UUID,
    now: datetime,
    note: EventNote | None = None,
    details: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Exit states that the caller's transaction holds locked.

    `enrollment_status` is stored on the enrollment, where applications read it. `note` is an event
    that is logged for each state before its exit; `details` are stored in the event of the exit.
    Pending messages are skipped by the eligibility check at send time.
    """
    transitions = exit_transitions(
        states,
        exit_reason=exit_reason,
        enrollment_status=enrollment_status,
        note=note,
        details=details,
    )
    if transitions:
        commit(connection, Batch(transitions), batch_id=batch_id, now=now)


def exit_transitions(
    states: Sequence[DueState],
    *,
    exit_reason: str,
    enrollment_status: str,
    note: EventNote | None = None,
    details: Mapping[str, object] = MappingProxyType({}),
) -> tuple[Transition, ...]:
    """Return the transitions by which these states exit at the nodes where they are."""
    by_node: dict[str, list[DueState]] = {}
    for state in states:
        by_node.setdefault(state.current_node_id, []).append(state)
    return tuple(
        Transition(
            states=group,
            node_id=node_id,
            step_id=None,
            status="exited",
            events=(
                *(() if note is None else (replace(note, node_id=node_id),)),
                EventNote("enrollment_exited", node_id, None, {"reason": exit_reason, **details}),
            ),
            exit_reason=exit_reason,
            enrollment_status=enrollment_status,
        )
        for node_id, group in by_node.items()
    )
