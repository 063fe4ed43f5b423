"""Delete old runs with their events, and old ticks, from Dagster's storage.

Dagster has no retention for runs, and its `delete_run` takes 116 ms a run; a set-based statement
takes 1 ms. The tables are those of Dagster 1.13, as pinned. The queries are in sql/dagster/; a test
prepares them against a storage that Dagster created.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.error_translation import translated_errors

_NEVER: Final = "-infinity"


@dataclass(frozen=True, slots=True)
class PruningLimits:
    """Runs that ended before these times are old (None: never), except the runs `kept`."""

    succeeded_before: datetime | None
    failed_before: datetime | None
    kept: Sequence[str]

    def params(self) -> dict[str, object]:
        """Return the parameters of the pruning queries."""
        return {
            "succeeded_before": self.succeeded_before or _NEVER,
            "failed_before": self.failed_before or _NEVER,
            "kept": list(self.kept),
        }


class PrunedChunk(NamedTuple):
    """Deleted runs, and their events."""

    runs: int
    events: int


class Prunable(NamedTuple):
    """Runs and ticks that are old enough to delete."""

    runs: int
    ticks: int


class StorageSize(NamedTuple):
    """The size of Dagster's database and the rows of its largest tables."""

    database_bytes: int
    runs: int
    events: int
    ticks: int


@lru_cache(maxsize=1)
def dagster_queries() -> dict[str, queries.Query]:
    """Return the queries of sql/dagster/ by name."""
    return queries.load(queries.SQL_FOLDER / "dagster")


def has_storage(database: Database) -> bool:
    """Return whether the database has Dagster's run storage."""
    with database.transaction(is_read_only=True) as connection:
        return bool(_row(connection, "has_dagster_storage")[0])


def runs_to_keep(database: Database) -> list[str]:
    """Return the ids of runs that the catalog shows; they stay regardless of age."""
    with database.transaction(is_read_only=True) as connection, translated_errors():
        rows = connection.execute(dagster_queries()["runs_with_latest_events"].text)
        return [run_id for (run_id,) in rows if run_id]


def prune_runs(connection: Connection, limits: PruningLimits, *, chunk_size: int) -> PrunedChunk:
    """Delete at most `chunk_size` old runs with their events."""
    row = _row(connection, "prune_runs", **limits.params(), chunk_size=chunk_size)
    return PrunedChunk._make(row)


def prune_ticks(connection: Connection, *, before: datetime, chunk_size: int) -> int:
    """Delete at most `chunk_size` ticks from before `before`. Return their number."""
    with translated_errors():
        return connection.execute(
            dagster_queries()["prune_ticks"].text, {"before": before, "chunk_size": chunk_size}
        ).rowcount


def prunable(connection: Connection, limits: PruningLimits) -> Prunable:
    """Count the runs and ticks that are old enough to delete."""
    ticks_before = limits.succeeded_before or _NEVER
    row = _row(connection, "count_prunable", **limits.params(), before=ticks_before)
    return Prunable._make(row)


def size(database: Database) -> StorageSize:
    """Return the size of Dagster's storage."""
    with database.transaction(is_read_only=True) as connection:
        return StorageSize._make(_row(connection, "storage_size"))


def _row(connection: Connection, name: str, **params: object) -> tuple[Any, ...]:
    with translated_errors():
        row = connection.execute(dagster_queries()[name].text, params).fetchone()
    if row is None:
        raise AssertionError(f"query {name} returns one row")
    return row
