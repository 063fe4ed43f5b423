"""The log of executed batches, and the partitions of the event log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One row of campaign_batches.

    `size`: the states or deliveries of the batch; `sizes`: their number by resulting status;
    `campaigns`: their number by node, as JSON objects.
    """

    id: UUID
    kind: str
    outcome: str
    engine_now: datetime
    duration_ms: int
    size: int
    sizes: Mapping[str, int]
    campaigns: Sequence[Mapping[str, object]]
    error: str | None
    run_id: str | None
    step_key: str | None


def insert_batch(connection: Connection, batch: BatchRow) -> None:
    """Insert one row into the batch log."""
    queries.run(
        connection,
        "record_batch",
        id=batch.id,
        kind=batch.kind,
        outcome=batch.outcome,
        engine_now=batch.engine_now,
        duration_ms=batch.duration_ms,
        size=batch.size,
        sizes=dump_json(batch.sizes).decode(),
        campaigns=dump_json(batch.campaigns).decode(),
        error=batch.error,
        run_id=batch.run_id,
        step_key=batch.step_key,
    )


def ensure_partitions(connection: Connection, now: datetime) -> int:
    """Create the event log's missing partitions for this month and the next; return how many."""
    return int(queries.scalar(connection, "ensure_partitions", now=now))
