"""Write transitions to workflow states, one statement per batch; the only writer of their progress.

If the statement fails because of one value, the batch is bisected under savepoints until the
failing row is isolated. That enrollment is scheduled for a retry or fails; the rest is committed.
Deferred constraints are checked with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from drip_pipeline.db.connection import Connection, check_deferred, dump_json, savepoint
from drip_pipeline.db.execution import batch_context as batch_context_db
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.db.operations import data_faults as data_faults_db
from drip_pipeline.db.operations.data_faults import DataFault
from drip_pipeline.domain.retry import retry_delay_seconds
from drip_pipeline.engine.execution import run_variables
from drip_pipeline.engine.execution.conversion_attribution import attribute_late
from drip_pipeline.engine.execution.transitions import (
    NO_SENT_MESSAGE,
    Batch,
    ContactChange,
    EventNote,
    SentMessage,
    Transition,
)
from drip_pipeline.engine.isolation import (
    apply_isolating,
    describe,
    is_of_the_data,
    report_left_out,
)

LOCK_WAIT_MILLISECONDS: Final = 500
"""How long a batch waits for contacts that somebody else has locked."""
LOCKED_DELAY: Final = timedelta(minutes=1)
"""After which a state is due again whose contact stayed locked."""

_NOT_WRITTEN: Final = "a step could not be written"

Columns: TypeAlias = dict[str, object]
"""Parameters of the statement: arrays by column, and scalars."""


def commit(
    connection: Connection,
    batch: Batch,
    *,
    batch_id: UUID,
    now: datetime,
    message: SentMessage = NO_SENT_MESSAGE,
    is_data_fault: bool = True,
    leaves_out: bool = False,
) -> Batch:
    """Write a batch inside the caller's transaction.

    Returns the batch as written: a state that could not be written has a failure instead. If the
    database refuses the failure, too, the error is raised; with `leaves_out`, the state stays as it
    is, is not in the result, and is reported with its contact.
    `message` is the message that these states waited for, if it was sent. States that fail are
    stored as data faults, which are reported, unless a provider's refusal made them fail.
    """
    if batch.paused:
        batch = replace(batch, paused=_park(connection, batch.paused, now, leaves_out=leaves_out))
    if not batch.transitions:
        return batch
    writing = _Writing(batch_id, now, message, leaves_out)
    written = _write(connection, batch.transitions, writing)
    if is_data_fault:
        data_faults_db.store(connection, _faults(written), now)
    return replace(batch, transitions=tuple(written))


def _faults(transitions: Iterable[Transition]) -> list[DataFault]:
    return [
        DataFault(
            state.contact_id,
            state.id,
            state.campaign_id,
            transition.node_id or state.current_node_id,
            transition.error or "unknown",
        )
        for transition in transitions
        if transition.status == "failed"
        for state in transition.states
    ]


class _Writing(NamedTuple):
    """What the writing of a batch is about; see `commit`."""

    batch_id: UUID
    now: datetime
    message: SentMessage
    leaves_out: bool


def _park(
    connection: Connection, states: Sequence[DueState], now: datetime, *, leaves_out: bool
) -> tuple[DueState, ...]:
    """Suspend states, and return them without those that are left out."""

    def park(part: Sequence[DueState]) -> Sequence[DueState]:
        states_db.park_paused(connection, [state.id for state in part], now)
        return part

    def refuse(state: DueState, error: Exception) -> None:
        if not leaves_out:
            raise error
        report_left_out(connection, state.contact_id, _NOT_WRITTEN, error, now)

    parts = apply_isolating(connection, states, park, refuse)
    return tuple(state for part in parts for state in part)


def _write(
    connection: Connection, transitions: Iterable[Transition], writing: _Writing
) -> list[Transition]:
    transitions = list(transitions)
    try:
        with savepoint(connection):
            transitions = _without_locked_contacts(connection, transitions, writing.now)
            _write_together(connection, transitions, writing)
            check_deferred(connection)
        return transitions
    except Exception as error:
        if not is_of_the_data(error):
            raise
        states = [state for transition in transitions for state in transition.states]
        if len(states) == 1:
            return _write_failure(connection, transitions[0], states[0], error, writing)
    written: list[Transition] = []
    middle = len(states) // 2
    for half in (states[:middle], states[middle:]):
        state_ids = {state.id for state in half}
        kept = [part for t in transitions if (part := t.only(state_ids)) is not None]
        written += _write(connection, kept, writing)
    return written


def _write_failure(
    connection: Connection,
    transition: Transition,
    state: DueState,
    error: Exception,
    writing: _Writing,
) -> list[Transition]:
    """Write that a state could not be written; return nothing if it is left out."""
    failed = _failure(transition, state, describe(error), writing.now)
    try:
        with savepoint(connection):
            _write_together(connection, [failed], writing)
            check_deferred(connection)
        return [failed]
    except Exception as refusal:
        if not writing.leaves_out or not is_of_the_data(refusal):
            raise
        report_left_out(connection, state.contact_id, _NOT_WRITTEN, refusal, writing.now)
        return []


def _without_locked_contacts(
    connection: Connection, transitions: list[Transition], now: datetime
) -> list[Transition]:
    """Lock the contacts that the transitions change.

    A state whose contact somebody else keeps locked stays where it is and is due again later, so
    that the batch does not wait for one contact.
    """
    changing = [transition for transition in transitions if transition.changes]
    if not changing:
        return transitions
    contact_ids = sorted({state.contact_id for t in changing for state in t.states})
    locked = batch_context_db.lock_contacts(
        connection, contact_ids, wait_milliseconds=LOCK_WAIT_MILLISECONDS
    )
    if not locked:
        return transitions
    kept: list[Transition] = []
    for transition in transitions:
        held = (
            [state for state in transition.states if state.contact_id in locked]
            if transition.changes
            else []
        )
        free = {state.id for state in transition.states} - {state.id for state in held}
        rest = transition.only(free) if held else transition
        kept += [] if rest is None else [rest]
        kept += [_postponed(transition, state, now) for state in held]
    return kept


def _postponed(transition: Transition, state: DueState, now: datetime) -> Transition:
    return Transition(
        states=[state],
        node_id=state.current_node_id,
        step_id=transition.step_id if transition.node_id == state.current_node_id else None,
        status="running",
        due_at=now + LOCKED_DELAY,
        resume_port=state.resume_port,
        retry_count=state.retry_count,
    )


def _failure(transition: Transition, state: DueState, error: str, now: datetime) -> Transition:
    attempt = state.retry_count + 1
    is_final = attempt > state.max_retries
    message = f"could not be written: {error}"
    note = EventNote(
        "enrollment_failed" if is_final else "retry_scheduled",
        state.current_node_id,
        None,
        {"error": message, "attempt": attempt},
    )
    delay = timedelta(seconds=retry_delay_seconds(attempt, state.id))
    return Transition(
        states=[state],
        node_id=state.current_node_id,
        step_id=transition.step_id if transition.node_id == state.current_node_id else None,
        status="failed" if is_final else "running",
        events=(note,),
        due_at=None if is_final else now + delay,
        resume_port=state.resume_port,
        retry_count=attempt,
        error=message,
    )


def _write_together(
    connection: Connection,
    transitions: list[Transition],
    writing: _Writing,
) -> None:
    _, now, message, _ = writing
    for transition in transitions:
        _change_contacts(connection, transition, now)
    columns = _columns(transitions)
    columns |= {"now": now, "batch_id": writing.batch_id}
    columns |= {"message_at": message.sent_at, "emailed_at": message.emailed_at}
    states_db.write_transitions(connection, columns)
    run_variables.write(connection, transitions)
    assigned = [state.id for t in transitions if t.assignments for state in t.states]
    attribute_late(connection, assigned, now)


def _change_contacts(connection: Connection, transition: Transition, now: datetime) -> None:
    if not transition.changes:
        return
    # In the order of ids: two processes that change the same contacts must not deadlock.
    contact_ids = sorted({state.contact_id for state in transition.states})
    for change in transition.changes:
        if change.values is None:
            _change(connection, contact_ids, change, now)
            continue
        # Of several runs of one contact the last one decides.
        values = {state.contact_id: change.of(state.id) for state in transition.states}
        _change_each(connection, {key: values[key] for key in sorted(values)}, now)


def _change(
    connection: Connection, contact_ids: list[UUID], change: ContactChange, now: datetime
) -> None:
    db = batch_context_db
    match change.kind:
        case "tags":
            db.change_tags(connection, contact_ids, change.add, change.remove, now)
        case "score_delta":
            db.change_score(connection, contact_ids, delta=change.score(), to=None, now=now)
        case "score_set":
            db.change_score(connection, contact_ids, delta=None, to=change.score(), now=now)
        case "column":
            db.change_column(connection, contact_ids, change.name, change.text(), now)
        case "custom_field":
            db.change_custom_field(connection, contact_ids, change.name, change.value, now)


def _change_each(
    connection: Connection, changes: Mapping[UUID, ContactChange], now: datetime
) -> None:
    """Write one field of contacts, each with its own value."""
    (kind, name), *_ = {(change.kind, change.name) for change in changes.values()}
    if kind == "column":
        texts = {contact_id: change.text() for contact_id, change in changes.items()}
        batch_context_db.set_column(connection, name, texts, now)
    else:
        values = {contact_id: change.value for contact_id, change in changes.items()}
        batch_context_db.set_custom_field(connection, name, values, now)


_GROUP_COLUMNS: dict[str, Callable[[Transition], object]] = {
    "node_id": lambda t: t.node_id,
    "step_id": lambda t: t.step_id,
    "status": lambda t: t.status,
    "path": lambda t: _json(t.path),
    "path_length": lambda t: len(t.path),
    "due_at": lambda t: t.due_at,
    "wait_until": lambda t: t.wait_until,
    "wait_for_event": lambda t: t.wait_for_event,
    "resume_port": lambda t: t.resume_port,
    "retry_count": lambda t: t.retry_count,
    "last_error": lambda t: t.error,
    "exit_reason": lambda t: t.exit_reason,
    "enrollment_status": lambda t: t.enrollment_status,
    "variant": lambda t: t.assignments[-1].variant_group if t.assignments else None,
}


def _columns(transitions: list[Transition]) -> Columns:
    columns: Columns = {"group_no": list(range(len(transitions)))}
    for name, value in _GROUP_COLUMNS.items():
        columns[name] = [value(t) for t in transitions]
    columns |= _members(transitions) | _event_positions(transitions)
    return columns | _events(transitions) | _other_rows(transitions)


def _members(transitions: list[Transition]) -> Columns:
    state_ids: list[UUID] = []
    groups: list[int] = []
    delivery_ids: list[UUID | None] = []
    compared: list[str | None] = []
    for number, transition in enumerate(transitions):
        size = len(transition.states)
        state_ids.extend(state.id for state in transition.states)
        groups.extend([number] * size)
        delivery_ids.extend(transition.delivery_ids or [None] * size)
        compared.extend(_compared(transition) or [None] * size)
    return {
        "state_id": state_ids,
        "member_group": groups,
        "delivery_id": delivery_ids,
        "compared": compared,
    }


def _compared(transition: Transition) -> list[str] | None:
    """Return, per state, a JSON list with the compared values of each event that has some."""
    of_events = [note.compared for note in transition.events if note.compared is not None]
    if not of_events:
        return None
    if len(of_events) == 1:
        values = of_events[0]
        return [f"[{values[state.id]}]" for state in transition.states]
    return [f"[{','.join([of[state.id] for of in of_events])}]" for state in transition.states]


def _event_positions(transitions: list[Transition]) -> Columns:
    """Return where the event ids of a state begin among those of the batch.

    States follow each other group by group. The event ids of the n-th state of the batch (from 1)
    begin at offset + n * count.
    """
    offsets: list[int] = []
    counts: list[int] = []
    states = events = 0
    for transition in transitions:
        count = len(transition.events)
        offsets.append(1 + events - (states + 1) * count)
        counts.append(count)
        states += len(transition.states)
        events += len(transition.states) * count
    return {"event_offset": offsets, "event_count": counts, "event_total": events}


def _events(transitions: list[Transition]) -> Columns:
    rows = [
        (number, ordinal, note)
        for number, transition in enumerate(transitions)
        for ordinal, note in enumerate(transition.events)
    ]
    positions: list[int | None] = []
    for transition in transitions:
        place = count()
        positions += [None if note.compared is None else next(place) for note in transition.events]
    return {
        "event_group": [number for number, _, _ in rows],
        "event_ordinal": [ordinal for _, ordinal, _ in rows],
        "event_type": [note.event_type for _, _, note in rows],
        "event_step_id": [note.step_id for _, _, note in rows],
        "event_node_id": [note.node_id for _, _, note in rows],
        "event_data": [_json(note.data) for _, _, note in rows],
        "event_variant": [note.variant_group for _, _, note in rows],
        "event_compared": positions,
    }


def _other_rows(transitions: list[Transition]) -> Columns:
    assigned = [(n, a) for n, t in enumerate(transitions) for a in t.assignments]
    sending = [(n, t.delivery) for n, t in enumerate(transitions) if t.delivery is not None]
    return {
        "assignment_group": [n for n, _ in assigned],
        "assignment_split": [a.split_node_id for _, a in assigned],
        "assignment_test": [a.ab_test_id for _, a in assigned],
        "assignment_variant": [a.variant_group for _, a in assigned],
        "assignment_holdout": [a.is_holdout for _, a in assigned],
        "assignment_randomized": [a.is_randomized for _, a in assigned],
        "delivery_group": [n for n, _ in sending],
        "delivery_node_id": [d.node_id for _, d in sending],
        "delivery_step_id": [d.step_id for _, d in sending],
        "delivery_channel": [d.channel for _, d in sending],
        "delivery_split": [d.split_node_id for _, d in sending],
        "delivery_variant": [d.variant_group for _, d in sending],
        "delivery_due_at": [d.due_at for _, d in sending],
        "delivery_held_by": [d.held_by for _, d in sending],
        "delivery_cap_priority": [d.cap_priority for _, d in sending],
    }


def _json(value: object) -> str:
    return dump_json(value).decode()
