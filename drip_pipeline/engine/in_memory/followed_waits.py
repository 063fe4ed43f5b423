"""Waits that follow their contacts, in memory: which end, and which end at another time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from drip_pipeline.domain.graph.contact_waits import FOLLOWED, Judged, judge_of
from drip_pipeline.domain.graph.nodes import ConditionWait, DateWait
from drip_pipeline.engine.in_memory.context import context_of
from drip_pipeline.engine.in_memory.store import MemoryContact, MemoryRun, MemoryStore


def followed_runs(
    store: MemoryStore, contacts: Iterable[MemoryContact], now: datetime
) -> Iterator[tuple[MemoryRun, Judged]]:
    """Yield the runs of these contacts whose wait ends now, or at another time than before."""
    runs = [
        run
        for contact in contacts
        for run in contact.runs
        if run.is_open
        and run.wait_for_event is not None
        and run.wait_for_event.startswith(FOLLOWED)
    ]
    if not runs:
        return
    states = store.due_states(runs)
    context = context_of(store, states, now)
    for run, state in zip(runs, states, strict=True):
        config = store.graph.nodes[run.node_id].config
        assert isinstance(config, DateWait | ConditionWait)
        judged = judge_of(config, now)(context.of(state))
        is_left = judged.until is None and judged.port is not None
        if is_left or judged.until not in (None, run.due_at):
            yield run, judged
