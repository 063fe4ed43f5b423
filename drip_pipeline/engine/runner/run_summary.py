"""Sum up one run of the minute job from the batch log.

The batches write the log themselves, so the summary is complete whichever steps ran, and where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.execution.workflow_states import DueOverview
from drip_pipeline.db.operations import overview as overview_db
from drip_pipeline.db.operations.overview import FailedBatchNode, RunBatch, WaitingMessages
from drip_pipeline.engine.runner.tick import Engine

_CLOCK_SKEW = timedelta(minutes=5)
_COUNTED_AT_MOST = 100_000


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Totals of a run.

    `moved`: advanced states by new status. `messages`: deliveries by result. `events`: events
    logged at the run's logical times, by type. `left`: what is due now. `without_channel`: due
    messages by missing channel.
    """

    batches: Sequence[RunBatch]
    moved: Mapping[str, int]
    messages: Mapping[str, int]
    events: Mapping[str, int]
    left: DueOverview
    without_channel: Mapping[str, int]

    @property
    def failed(self) -> int:
        """Return the number of batches that were rolled back."""
        return sum(batch.outcome == "failed" for batch in self.batches)

    @property
    def advanced(self) -> int:
        """Return the number of states that committed batches claimed."""
        return sum(batch.size for batch in self._committed("advance"))

    @property
    def unaccounted_states(self) -> int:
        """Return claimed states minus those with a new status; not 0 only if the engine loses or
        duplicates states."""
        return self.advanced - sum(self.moved.values())

    def _committed(self, kind: str) -> list[RunBatch]:
        return [b for b in self.batches if b.kind == kind and b.outcome == "committed"]


def summarize_run(engine: Engine, run_id: str, *, began_at: datetime, now: datetime) -> RunSummary:
    """Sum up the run. `began_at` is wall-clock time, `now` the engine's logical time."""
    with engine.database.transaction(is_read_only=True) as connection:
        batches = overview_db.batches_of_run(connection, run_id, since=began_at - _CLOCK_SKEW)
        times = [batch.engine_now for batch in batches]
        logged = (
            overview_db.events_logged_between(
                connection, min(times), max(times) + timedelta(seconds=1)
            )
            if times
            else []
        )
        return RunSummary(
            batches=batches,
            moved=_summed(batches, "advance"),
            messages=_summed(batches, "deliver"),
            events=dict(logged),
            left=states_db.due_overview(connection, now=now, count_limit=_COUNTED_AT_MOST),
            without_channel=overview_db.due_without_channel(connection, list(engine.channels), now),
        )


def failed_batch_nodes(
    engine: Engine, run_id: str, step_key: str, *, began_at: datetime
) -> list[FailedBatchNode]:
    """Return the nodes of the failed batch of this step; empty if no batch failed."""
    with engine.database.transaction(is_read_only=True) as connection:
        return overview_db.nodes_of_failed_batch(
            connection, run_id, step_key, since=began_at - _CLOCK_SKEW
        )


def messages_waiting(engine: Engine, channels: Sequence[str]) -> list[WaitingMessages]:
    """Return the due messages of these channels per node, largest first."""
    with engine.database.transaction(is_read_only=True) as connection:
        return overview_db.messages_waiting(connection, channels)


def _summed(batches: Sequence[RunBatch], kind: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for batch in batches:
        if batch.kind == kind and batch.outcome == "committed":
            total.update(batch.sizes)
    return dict(total)
