"""Apply transitions to a store in memory, as `commit` writes them to the database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from drip_pipeline.engine.execution.split_variants import ExistingVariant
from drip_pipeline.engine.execution.transitions import Transition
from drip_pipeline.engine.in_memory.contact_rows import change_row
from drip_pipeline.engine.in_memory.schedule import Schedule
from drip_pipeline.engine.in_memory.store import MemoryMessage, MemoryRun, MemoryStore


def apply_transitions(
    store: MemoryStore,
    schedule: Schedule,
    transitions: Iterable[Transition],
    now: datetime,
) -> None:
    """Write the transitions to the runs, their contacts and the outbox."""
    for transition in transitions:
        _apply(store, schedule, transition, now)


def _apply(store: MemoryStore, schedule: Schedule, transition: Transition, now: datetime) -> None:
    runs = store.runs_of(transition.states)
    passed = len(transition.path)
    for run in runs:
        run.node_id = transition.node_id
        run.status = transition.status
        run.due_at = transition.due_at
        run.wait_for_event = transition.wait_for_event
        run.resume_port = transition.resume_port
        run.retry_count = transition.retry_count
        run.last_error = transition.error
        run.exit_reason = transition.exit_reason
        run.pending = None
        if passed:
            run.steps_taken += passed
            run.node_entered_at = now
        if transition.enrollment_status is not None:
            run.enrollment_status = transition.enrollment_status
    if transition.due_at is not None:
        schedule.add_runs(transition.due_at, runs)
    if transition.changes:
        for run in runs:
            change_row(run.contact, [change.of(run.id) for change in transition.changes], now)
    for assignment in transition.assignments:
        variants = store.variants.setdefault(assignment.split_node_id, {})
        variant = ExistingVariant(assignment.variant_group, assignment.is_randomized)
        for run in runs:
            variants.setdefault(run.id, variant)
    if transition.variables:
        for run in runs:
            if run.id in transition.variables:
                run.set_variables(transition.variables[run.id])
    if transition.delivery is not None and transition.delivery_ids is not None:
        _queue(schedule, transition, runs, now)


def _queue(
    schedule: Schedule, transition: Transition, runs: list[MemoryRun], now: datetime
) -> None:
    note = transition.delivery
    assert note is not None
    assert transition.delivery_ids is not None
    messages = []
    for run, delivery_id in zip(runs, transition.delivery_ids, strict=True):
        run.pending = MemoryMessage(delivery_id, run, note, now)
        messages.append(run.pending)
    schedule.add_messages(note.channel, note.due_at or now, messages)
