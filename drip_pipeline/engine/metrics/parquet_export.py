"""Export of daily metrics as Parquet, one folder per day (`day=2026-03-02/metrics.parquet`). A file
is replaced atomically, and the same metrics give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.metrics import daily_metrics as metrics_db
from drip_pipeline.db.metrics.daily_metrics import DayMetricsRow
from drip_pipeline.engine.progress import Progress
from drip_pipeline.engine.replace_file import replace_file
from drip_pipeline.settings import Settings

FILE_NAME: Final = "metrics.parquet"
_TEXTS: Final = ("workspace_id", "workspace", "time_zone", "campaign_id", "campaign")
_KEY: Final = ("node_id", "channel", "variant_group")
_COUNTS: Final = (
    "sent", "sent_uncertain", "delivered", "opened", "opens_total", "machine_opened", "clicked",
    "clicks_total", "machine_clicked", "replied", "converted",
)  # fmt: skip
_FAILURES: Final = ("unsubscribed", "complained", "bounced", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class ExportedDay:
    """A day's file. `is_new`: it was written or deleted. A day without metrics has no file."""

    day: date
    path: Path
    rows: int
    size_bytes: int
    is_new: bool


def metrics_folder(settings: Settings) -> Path:
    """Return the folder of the files."""
    return settings.metrics_folder or settings.home / "metrics"


def counted_days(database: Database, first_day: date | None, last_day: date | None) -> list[date]:
    """Return the days that have metrics, optionally within a range."""
    with database.transaction(is_read_only=True) as connection:
        return metrics_db.counted_days(connection, first_day, last_day)


def export_days(
    database: Database,
    days: Iterable[date],
    folder: Path,
    *,
    progress: Progress | None = None,
) -> list[ExportedDay]:
    """Write the metrics of these days."""
    requested = sorted(set(days))
    written = []
    for number, day in enumerate(requested, start=1):
        # Under the day's lock: older metrics must not replace newer ones, and no other process may
        # have the temporary file open.
        with database.transaction() as connection:
            metrics_db.lock_day(connection, day)
            rows = metrics_db.day_rows(connection, day)
            written.append(_placed(folder / f"day={day.isoformat()}" / FILE_NAME, day, rows))
        if progress:
            progress(f"wrote {day} ({number:,} of {len(requested):,} days)")
    return written


def _placed(path: Path, day: date, rows: Sequence[DayMetricsRow]) -> ExportedDay:
    """Replace the file atomically if its content differs."""
    if not rows:
        is_there = path.exists()
        if is_there:
            path.unlink()
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()
        return ExportedDay(day, path, 0, 0, is_there)
    content = as_parquet(rows)
    if path.exists() and path.read_bytes() == content:
        return ExportedDay(day, path, len(rows), len(content), False)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
    return ExportedDay(day, path, len(rows), len(content), True)


def as_parquet(rows: Sequence[DayMetricsRow]) -> bytes:
    """Convert the rows of a day to a Parquet file. Ids are texts, `conversion_value` is a decimal,
    and `skipped_by_reason` maps reasons to numbers of messages.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "metric_date": pa.date32(),
        **dict.fromkeys(_TEXTS, pa.string()),
        "campaign_version": pa.int32(),
        **dict.fromkeys(_KEY, pa.string()),
        **dict.fromkeys(_COUNTS, pa.int64()),
        "conversion_value": pa.decimal128(16, 2),
        **dict.fromkeys(_FAILURES, pa.int64()),
        "skipped_by_reason": pa.map_(pa.string(), pa.int64()),
    }
    values = [
        row._asdict()
        | {
            "workspace_id": str(row.workspace_id),
            "campaign_id": str(row.campaign_id),
            "skipped": sum(row.skipped.values()),
            "skipped_by_reason": sorted(row.skipped.items()),
        }
        for row in rows
    ]
    table = pa.Table.from_pylist(values, schema=pa.schema(list(types.items())))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
