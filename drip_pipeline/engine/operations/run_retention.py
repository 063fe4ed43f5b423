"""Apply the retention settings to the engine's data and to Dagster's run storage.

Called by `drip retention run` and by the nightly job.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.dagster.storage import existing_storage_url
from drip_pipeline.db.operations import data_faults as data_faults_db
from drip_pipeline.engine.operations.prune_dagster import PrunedRuns, prune_dagster
from drip_pipeline.engine.operations.retention import RetentionReport, apply_retention
from drip_pipeline.engine.progress import Progress
from drip_pipeline.settings import Settings

_DATA_FAULTS_KEPT: Final = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class RetentionRun:
    """What was removed from the engine's data and from Dagster's."""

    engine: RetentionReport
    dagster: PrunedRuns


def run_retention(
    settings: Settings,
    database: Database,
    *,
    now: datetime,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> RetentionRun:
    """Archive and delete rows by their age at `now`; with `dry_run` only count them.

    Raises DripError if an archive file cannot be read back.
    """
    report = apply_retention(
        database,
        settings.retention,
        settings.archive_folder(),
        now=now,
        dry_run=dry_run,
        progress=progress,
    )
    if not dry_run:
        with database.transaction() as connection:
            data_faults_db.prune(connection, now - _DATA_FAULTS_KEPT)
    pruned = PrunedRuns()
    url = existing_storage_url(settings, database.url)
    if url is not None:
        with Database(
            url, application_name="drip-retention", pooler=settings.database_pooler
        ) as storage:
            pruned = prune_dagster(storage, settings.retention, now=now, dry_run=dry_run)
    return RetentionRun(report, pruned)
