"""Metadata of the assets of outcomes and metrics: computed days, files, corrected outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import overview as overview_db
from drip_pipeline.engine.metrics.daily_metrics import CountedDay, campaign_summary
from drip_pipeline.engine.metrics.parquet_export import ExportedDay
from drip_pipeline.errors import DripError
from drip_pipeline.orchestration.metadata.common import Metadata, table

_CAMPAIGN: Final = (
    "campaign", "sent", "delivered", "opened", "clicked", "converted", "unsubscribed", "open_rate",
    "click_rate",
)  # fmt: skip
_DAY: Final = ("day", "rows", "sent", "duration_ms")


def computed_metadata(database: Database, days: Sequence[CountedDay]) -> Metadata:
    """Return rows written, messages sent, the campaigns of these days, and the days with rows."""
    summary = campaign_summary(database, first_day=days[0].day, last_day=days[-1].day)
    return {
        "dagster/partition_row_count": sum(day.rows for day in days),
        "days": len(days),
        "messages_sent": sum(day.sent for day in days),
        "preview": table(summary, _CAMPAIGN),
        "by_day": table(
            [{name: getattr(day, name) for name in _DAY} for day in days if day.rows], _DAY
        ),
    }


def exported_metadata(folder: Path, days: Sequence[ExportedDay]) -> Metadata:
    """Return the folder, and the rows, changed files and bytes."""
    return {
        "folder": dg.MetadataValue.path(str(folder)),
        "dagster/partition_row_count": sum(day.rows for day in days),
        "days": len(days),
        "files_changed": sum(day.is_new for day in days),
        "bytes": sum(day.size_bytes for day in days),
    }


def rebuilt_metadata(database: Database, days: Sequence[date], corrected: int) -> Metadata:
    """Return the outcomes of messages sent on these days, and the number corrected.

    Raises DripError without a day.
    """
    if not days:
        raise DripError("no day to compare: the last day is before the first")
    with database.transaction(is_read_only=True) as connection:
        rows = overview_db.outcomes_between(connection, days[0], days[-1])
    return {
        "messages": sum(row.messages for row in rows),
        "first_day": str(days[0]),
        "last_day": str(days[-1]),
        "corrected": corrected,
        "preview": table(rows),
    }
