"""Pruning Dagster's runs, events and ticks by age, a slice a transaction. What the catalog rests
on stays whatever its age: each partition's latest materialization, each check's latest result.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.dagster import pruning as pruning_db
from drip_pipeline.settings.kinds import Retention

SLICE_RUNS: Final = 1_000
SLICE_TICKS: Final = 20_000


@dataclass(frozen=True, slots=True)
class PrunedRuns:
    """What was deleted (in a dry run: what is old enough), and runs that stay because the catalog
    rests on them.
    """

    runs: int = 0
    events: int = 0
    ticks: int = 0
    kept: int = 0


def prune_dagster(
    storage: Database, retention: Retention, *, now: datetime, dry_run: bool = False
) -> PrunedRuns:
    """Delete what is older than `retention` says. Nothing where Dagster keeps no runs there."""
    if not pruning_db.has_storage(storage):
        return PrunedRuns()
    succeeded = _before(now, retention.runs)
    failed = _before(now, retention.failed_runs)
    kept = pruning_db.runs_to_keep(storage)
    if dry_run:
        with storage.transaction(is_read_only=True) as connection:
            runs, ticks = pruning_db.prunable(
                connection, succeeded_before=succeeded, failed_before=failed, kept=kept
            )
        return PrunedRuns(runs=runs, ticks=ticks, kept=len(kept))
    runs = events = ticks = 0
    while True:
        with storage.transaction() as connection:
            done, with_events = pruning_db.prune_runs(
                connection,
                succeeded_before=succeeded,
                failed_before=failed,
                kept=kept,
                slice_size=SLICE_RUNS,
            )
        runs, events = runs + done, events + with_events
        if done < SLICE_RUNS:
            break
    while succeeded is not None:
        with storage.transaction() as connection:
            done = pruning_db.prune_ticks(connection, before=succeeded, slice_size=SLICE_TICKS)
        ticks += done
        if done < SLICE_TICKS:
            break
    return PrunedRuns(runs, events, ticks, len(kept))


def _before(now: datetime, days: int) -> datetime | None:
    return now - timedelta(days=days) if days else None
