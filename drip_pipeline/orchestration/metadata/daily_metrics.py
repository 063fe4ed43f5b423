"""What the assets of outcomes and metrics show: days counted, the table of campaigns, files, what
was corrected. Figures come from the verbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import overview as overview_db
from drip_pipeline.engine.metrics.daily_metrics import CountedDay, campaign_summary
from drip_pipeline.engine.metrics.parquet_export import ExportedDay
from drip_pipeline.errors import DripError
from drip_pipeline.orchestration.metadata.common import table

_CAMPAIGN: Final = (
    "campaign", "sent", "delivered", "opened", "clicked", "converted", "unsubscribed", "open_rate",
    "click_rate",
)  # fmt: skip
_DAY: Final = ("day", "rows", "sent", "duration_ms")


def counted_metadata(database: Database, counted: Sequence[CountedDay]) -> dict[str, Any]:
    """Rows written, messages, the campaigns of these days, and the days with something in them."""
    summary = campaign_summary(database, first_day=counted[0].day, last_day=counted[-1].day)
    return {
        "dagster/partition_row_count": sum(day.rows for day in counted),
        "days": len(counted),
        "messages_sent": sum(day.sent for day in counted),
        "preview": table(summary, _CAMPAIGN),
        "by_day": table(
            [{name: getattr(day, name) for name in _DAY} for day in counted if day.rows], _DAY
        ),
    }


def exported_metadata(folder: Path, written: Sequence[ExportedDay]) -> dict[str, Any]:
    """Where the files are, and how many rows and bytes are in them."""
    return {
        "folder": dg.MetadataValue.path(str(folder)),
        "dagster/partition_row_count": sum(day.rows for day in written),
        "days": len(written),
        "files_changed": sum(day.is_new for day in written),
        "bytes": sum(day.size_bytes for day in written),
    }


def rebuilt_metadata(database: Database, wanted: Sequence[date], corrected: int) -> dict[str, Any]:
    """Messages of these days, and how many differed from the log. Raises DripError without a
    day."""
    if not wanted:
        raise DripError("no day to compare: the last day lies before the first")
    with database.transaction(is_read_only=True) as connection:
        rows = overview_db.outcomes_between(connection, wanted[0], wanted[-1])
    return {
        "messages": sum(row["messages"] for row in rows),
        "first_day": str(wanted[0]),
        "last_day": str(wanted[-1]),
        "corrected": corrected,
        "preview": table(rows),
    }
