"""The ledger of executed batches, and the log's partitions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json


def record(
    connection: Connection,
    *,
    batch_id: UUID,
    kind: str,
    outcome: str,
    engine_now: datetime,
    duration_ms: int,
    size: int,
    sizes: dict[str, int],
    campaigns: list[dict[str, Any]],
    error: str | None,
    run_id: str | None,
    step_key: str | None,
) -> None:
    """Write one row of the ledger."""
    queries.run(
        connection,
        "record_batch",
        id=batch_id,
        kind=kind,
        outcome=outcome,
        engine_now=engine_now,
        duration_ms=duration_ms,
        size=size,
        sizes=dump_json(sizes).decode(),
        campaigns=dump_json(campaigns).decode(),
        error=error,
        run_id=run_id,
        step_key=step_key,
    )


def recent(
    connection: Connection, *, since: datetime | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """The latest batches, newest first."""
    return queries.rows(connection, "recent_batches", since=since, row_limit=limit)


def ensure_partitions(connection: Connection, now: datetime) -> int:
    """Make the log's partitions for this month and the next where they are missing; how many were
    made."""
    return int(queries.scalar(connection, "ensure_partitions", now=now))
