"""Pruning what Dagster keeps: runs with their events, ticks. Dagster itself has no age for runs,
and its own way of deleting takes 116 ms a run where a set-based statement takes one.

The tables are Dagster's (release 1.13, as pinned); the queries stand apart in sql/dagster/, and a
test prepares them against a storage that Dagster has made.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.error_translation import translated_errors

FOR_EVER: Final = "-infinity"


@lru_cache(maxsize=1)
def pruning_queries() -> dict[str, queries.Query]:
    """The queries of sql/dagster/, by name."""
    return queries.load(queries.SQL_FOLDER / "dagster")


def has_storage(database: Database) -> bool:
    """Whether Dagster keeps its runs there."""
    with database.transaction(is_read_only=True) as connection:
        return bool(_row(connection, "has_dagster_storage")[0])


def runs_to_keep(database: Database) -> list[str]:
    """Runs that the catalog rests on, whatever their age."""
    with database.transaction(is_read_only=True) as connection, translated_errors():
        found = connection.execute(pruning_queries()["runs_with_latest_events"].text)
        return [row[0] for row in found.fetchall() if row[0]]


def prune_runs(
    connection: Connection,
    *,
    succeeded_before: datetime | None,
    failed_before: datetime | None,
    kept: Sequence[str],
    slice_size: int,
) -> tuple[int, int]:
    """Delete a slice; (runs, events)."""
    row = _row(
        connection,
        "prune_runs",
        succeeded_before=succeeded_before or FOR_EVER,
        failed_before=failed_before or FOR_EVER,
        kept=list(kept),
        slice_size=slice_size,
    )
    return row[0], row[1]


def prune_ticks(connection: Connection, *, before: datetime, slice_size: int) -> int:
    """Delete a slice of ticks; how many."""
    with translated_errors():
        return connection.execute(
            pruning_queries()["prune_ticks"].text, {"before": before, "slice_size": slice_size}
        ).rowcount


def prunable(
    connection: Connection,
    *,
    succeeded_before: datetime | None,
    failed_before: datetime | None,
    kept: Sequence[str],
) -> tuple[int, int]:
    """(runs, ticks) that are old enough."""
    row = _row(
        connection,
        "count_prunable",
        succeeded_before=succeeded_before or FOR_EVER,
        failed_before=failed_before or FOR_EVER,
        before=succeeded_before or FOR_EVER,
        kept=list(kept),
    )
    return row[0], row[1]


def size(database: Database) -> dict[str, int]:
    """database_bytes, runs, events, ticks."""
    with database.transaction(is_read_only=True) as connection:
        row = _row(connection, "storage_size")
    return dict(zip(("database_bytes", "runs", "events", "ticks"), row, strict=True))


def _row(connection: Connection, name: str, **params: Any) -> tuple[Any, ...]:
    with translated_errors():
        row = connection.execute(pruning_queries()[name].text, params).fetchone()
    if row is None:
        raise AssertionError(f"query {name} gives one row")
    return row
