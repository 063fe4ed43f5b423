"""Metadata of the assets of outcomes and metrics: computed days, files, corrected outcomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import overview as overview_db
from drip_pipeline.engine.metrics.daily_metrics import BreakdownName, CountedDay, campaign_summary
from drip_pipeline.engine.metrics.parquet_export import ExportedDay
from drip_pipeline.errors import DripError
from drip_pipeline.orchestration.metadata.common import Metadata, table

_CAMPAIGN: Final = (
    "campaign", "sent", "delivered", "opened", "clicked", "converted", "unsubscribed", "open_rate",
    "click_rate",
)  # fmt: skip


_BY_DAY: Final[tuple[BreakdownName, ...]] = ("day",)


def computed_metadata(database: Database, days: Sequence[CountedDay]) -> dict[date, Metadata]:
    """Return rows written, messages sent and the campaigns of each day.

    By day, because Dagster stores the metadata of a run's result with every partition of the run: a
    day without messages would have the sums of the range.
    """
    campaigns: dict[date, list[dict[str, Any]]] = defaultdict(list)
    first, last = min(day.day for day in days), max(day.day for day in days)
    for row in campaign_summary(database, by=_BY_DAY, first_day=first, last_day=last):
        campaigns[row["metric_date"]].append(row)
    return {
        day.day: {
            "dagster/partition_row_count": day.rows,
            "messages_sent": day.sent,
            "preview": table(campaigns[day.day], _CAMPAIGN),
            "duration_seconds": day.duration_ms / 1000,
        }
        for day in days
    }


def describe_computed(days: Sequence[CountedDay]) -> str:
    """Describe the computed days in one line, for the run's log."""
    with_rows = sum(bool(day.rows) for day in days)
    return (
        f"{len(days):,} days computed, {with_rows:,} of them with messages:"
        f" {sum(day.rows for day in days):,} rows, {sum(day.sent for day in days):,} messages sent"
    )


def exported_metadata(folder: Path, days: Sequence[ExportedDay]) -> dict[date, Metadata]:
    """Return the rows, the bytes and the file of each day, and whether it was changed."""
    return {
        day.day: {
            "dagster/partition_row_count": day.rows,
            "bytes": day.size_bytes,
            "file": dg.MetadataValue.path(str(day.path)) if day.rows else "none: no metrics",
            "changed": "yes" if day.is_new else "no",
            "folder": dg.MetadataValue.path(str(folder)),
        }
        for day in days
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
