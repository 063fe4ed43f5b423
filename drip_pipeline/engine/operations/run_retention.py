"""Retention as a whole: the engine's data and Dagster's, as the settings say. The same for the
command line and for the nightly job.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from drip_pipeline.db.connection import Database
from drip_pipeline.db.dagster.storage import storage_url_if_there
from drip_pipeline.engine.operations.prune_dagster import PrunedRuns, prune_dagster
from drip_pipeline.engine.operations.retention import RetentionReport, apply_retention
from drip_pipeline.engine.progress import Progress
from drip_pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Kept:
    """What went of the engine's data and of Dagster's."""

    engine: RetentionReport
    dagster: PrunedRuns


def run_retention(
    settings: Settings,
    database: Database,
    *,
    now: datetime,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Kept:
    """Archive and delete by age."""
    report = apply_retention(
        database,
        settings.retention,
        settings.archive_folder(),
        now=now,
        dry_run=dry_run,
        progress=progress,
    )
    pruned = PrunedRuns()
    url = storage_url_if_there(settings, database.url)
    if url is not None:
        with Database(url, application_name="drip-retention") as storage:
            pruned = prune_dagster(storage, settings.retention, now=now, dry_run=dry_run)
    return Kept(report, pruned)
