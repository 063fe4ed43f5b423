"""Delete Dagster's runs, events and ticks by age, one chunk in a transaction.

Runs that the catalog shows stay regardless of age: each partition's latest materialization, each
check's latest result.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.dagster import pruning as pruning_db
from drip_pipeline.engine.operations.retention import cutoff
from drip_pipeline.settings.kinds import Retention

CHUNK_RUNS: Final = 1_000
CHUNK_TICKS: Final = 20_000


@dataclass(frozen=True, slots=True)
class PrunedRuns:
    """Deleted rows (in a dry run: rows that are old enough), and the runs kept for the catalog."""

    runs: int = 0
    events: int = 0
    ticks: int = 0
    kept: int = 0


def prune_dagster(
    storage: Database, retention: Retention, *, now: datetime, dry_run: bool = False
) -> PrunedRuns:
    """Delete what is older than `retention`, if the database has Dagster's storage."""
    if not pruning_db.has_storage(storage):
        return PrunedRuns()
    limits = pruning_db.PruningLimits(
        succeeded_before=cutoff(now, retention.runs),
        failed_before=cutoff(now, retention.failed_runs),
        kept=pruning_db.runs_to_keep(storage),
    )
    kept = len(limits.kept)
    if dry_run:
        with storage.transaction(is_read_only=True) as connection:
            prunable = pruning_db.prunable(connection, limits)
        return PrunedRuns(runs=prunable.runs, ticks=prunable.ticks, kept=kept)
    runs = events = ticks = 0
    while True:
        with storage.transaction() as connection:
            pruned = pruning_db.prune_runs(connection, limits, chunk_size=CHUNK_RUNS)
        runs, events = runs + pruned.runs, events + pruned.events
        if pruned.runs < CHUNK_RUNS:
            break
    while limits.succeeded_before is not None:
        with storage.transaction() as connection:
            deleted = pruning_db.prune_ticks(
                connection, before=limits.succeeded_before, chunk_size=CHUNK_TICKS
            )
        ticks += deleted
        if deleted < CHUNK_TICKS:
            break
    return PrunedRuns(runs, events, ticks, kept)
