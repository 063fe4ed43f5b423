"""Move workflow states after their delivery is settled: continue, exit, or fail.

The states are locked here or by the settling statement; the caller commits the transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery.deliveries import ParkedState
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.engine.delivery.results import SettleContext
from drip_pipeline.engine.execution.advance import advance_states
from drip_pipeline.engine.execution.commit import commit
from drip_pipeline.engine.execution.transitions import (
    NO_SENT_MESSAGE,
    Batch,
    EventNote,
    SentMessage,
    Transition,
    group_by_position,
)


class OpenDelivery(Protocol):
    """A delivery to be settled, whatever query it was read by."""

    @property
    def id(self) -> UUID:
        """The delivery's id."""

    @property
    def enrollment_id(self) -> UUID:
        """The enrollment, and workflow state, that waits for it."""


def continue_states(
    connection: Connection, deliveries: Sequence[OpenDelivery], context: SettleContext
) -> None:
    """Continue the states that wait for these deliveries, without a message sent."""
    continue_parked(connection, _locked(connection, deliveries), context)


def continue_parked(
    connection: Connection,
    parked: Sequence[ParkedState],
    context: SettleContext,
    message: SentMessage = NO_SENT_MESSAGE,
) -> None:
    """Continue locked states from the node where they waited; `message` is what was sent."""
    is_active = [state.campaign_status == "active" for state in parked]
    states = [_due_state(state) for state in parked]
    running = [state for state, active in zip(states, is_active, strict=True) if active]
    halted = [state for state, active in zip(states, is_active, strict=True) if not active]
    groups = group_by_position(running)
    advancing = {key: group for key, group in groups.items() if key.enrollment_status != "paused"}
    paused = [state for key, group in groups.items() if key not in advancing for state in group]
    if advancing:
        advance_states(
            connection, advancing, batch_id=context.batch_id, now=context.now, message=message
        )
    # The campaign or the enrollment was paused after the message was leased: these states leave the
    # node when it is resumed.
    waiting = Transition((), "", None, "running", due_at=context.now)
    _commit(connection, halted, waiting, context, message)
    _commit(connection, paused, replace(waiting, status="paused"), context, message)


def exit_states(
    connection: Connection,
    deliveries: Sequence[OpenDelivery],
    exit_reason: str,
    enrollment_status: str,
    context: SettleContext,
    details: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """End the runs that wait for these deliveries, with the reason; `details` are stored in the
    event."""
    _commit(
        connection,
        [_due_state(state) for state in _locked(connection, deliveries)],
        Transition(
            (),
            "",
            None,
            "exited",
            events=(EventNote("enrollment_exited", "", None, {"reason": exit_reason, **details}),),
            exit_reason=exit_reason,
            enrollment_status=enrollment_status,
        ),
        context,
    )


def fail_states(
    connection: Connection,
    deliveries: Sequence[OpenDelivery],
    error: str,
    context: SettleContext,
    *,
    is_data_fault: bool = False,
) -> None:
    """Fail the states that wait for these deliveries; requeueing sends the delivery again.

    `is_data_fault`: the contact's own data is the cause, and is reported.
    """
    parked = _locked(connection, deliveries)
    events = (EventNote("enrollment_failed", "", None, {"error": error}),)
    _commit(
        connection,
        [_due_state(state) for state in parked],
        Transition((), "", None, "failed", events=events, error=error),
        context,
        delivery_of={state.id: state.delivery_id for state in parked},
        is_data_fault=is_data_fault,
    )


def _due_state(parked: ParkedState) -> DueState:
    return DueState._make(parked[:10])  # all of its columns


def _locked(connection: Connection, deliveries: Sequence[OpenDelivery]) -> list[ParkedState]:
    return deliveries_db.lock_parked_states(
        connection, [each.id for each in deliveries], [each.enrollment_id for each in deliveries]
    )


def _commit(
    connection: Connection,
    states: Sequence[DueState],
    transition: Transition,
    context: SettleContext,
    message: SentMessage = NO_SENT_MESSAGE,
    *,
    delivery_of: Mapping[UUID, UUID] | None = None,
    is_data_fault: bool = True,
) -> None:
    """Commit the same transition for all states, at the node where each is. A state that continues
    later leaves this node, or enters the one that a migration to another version chose."""
    by_node: dict[tuple[str, str | None], list[DueState]] = {}
    for state in states:
        by_node.setdefault((state.current_node_id, state.resume_port), []).append(state)
    transitions = tuple(
        replace(
            transition,
            states=group,
            node_id=node_id,
            resume_port=resume_port,
            events=tuple(replace(event, node_id=node_id) for event in transition.events),
            delivery_ids=[delivery_of[state.id] for state in group] if delivery_of else None,
        )
        for (node_id, resume_port), group in by_node.items()
    )
    if transitions:
        batch = Batch(transitions)
        commit(
            connection,
            batch,
            batch_id=context.batch_id,
            now=context.now,
            message=message,
            is_data_fault=is_data_fault,
        )
