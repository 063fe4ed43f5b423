"""Keeping the ledger: one row for every executed batch, in the batch's own transaction; a failed
batch gets its row in a transaction of its own, since its own rolled back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, Literal
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution import batch_log as ledger_db
from drip_pipeline.errors import DripError

BatchKind = Literal["advance", "deliver"]
_PLACES_KEPT = 50


@dataclass(frozen=True, slots=True)
class RunContext:
    """Who runs the batch: Dagster's run and step, or nothing on the command line."""

    run_id: str | None = None
    step_key: str | None = None


NO_RUN = RunContext()


@dataclass(frozen=True, slots=True)
class BatchLogEntry:
    """What is known of a batch while it runs."""

    batch_id: UUID
    kind: BatchKind
    now: datetime
    context: RunContext
    started: float

    @classmethod
    def begin(
        cls, batch_id: UUID, kind: BatchKind, now: datetime, context: RunContext
    ) -> BatchLogEntry:
        """Start the stopwatch."""
        return cls(batch_id, kind, now, context, perf_counter())

    def duration_ms(self) -> int:
        """Milliseconds since the batch began."""
        return round(1_000 * (perf_counter() - self.started))

    def committed(
        self, connection: Connection, sizes: dict[str, int], places: list[dict[str, Any]]
    ) -> None:
        """Enter the batch as done, in its own transaction."""
        self._record(connection, "committed", sizes, places, None)

    def failed(self, database: Database, error: Exception, places: list[dict[str, Any]]) -> None:
        """Enter the batch as failed; nothing of it was written."""
        with database.transaction() as connection:
            self._record(connection, "failed", {}, places, cause_of(error))

    def _record(
        self,
        connection: Connection,
        outcome: str,
        sizes: dict[str, int],
        places: list[dict[str, Any]],
        error: str | None,
    ) -> None:
        ledger_db.record(
            connection,
            batch_id=self.batch_id,
            kind=self.kind,
            outcome=outcome,
            engine_now=self.now,
            duration_ms=self.duration_ms(),
            size=sum(place["people"] for place in places),
            sizes=sizes,
            campaigns=places[:_PLACES_KEPT],
            error=error,
            run_id=self.context.run_id,
            step_key=self.context.step_key,
        )


def cause_of(error: Exception) -> str:
    """What is told of an error: its sentence when it is one of ours. The text of a foreign one may
    quote a person's data; its kind does not."""
    return str(error) if isinstance(error, DripError) else type(error).__name__


def places(groups: Iterable[tuple[UUID, int, str, int]]) -> list[dict[str, Any]]:
    """How many people stood at which node of which campaign version, most first; from groups of
    (campaign, version, node, people)."""
    counted: Counter[tuple[UUID, int, str]] = Counter()
    for campaign_id, version, node_id, people in groups:
        counted[campaign_id, version, node_id] += people
    return [
        {"campaign_id": str(campaign_id), "version": version, "node_id": node_id, "people": count}
        for (campaign_id, version, node_id), count in counted.most_common()
    ]
