"""Write the batch log: one row for each executed batch, in the batch's own transaction.

A failed batch was rolled back, so its row is written in a transaction of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Final, Literal, TypeAlias, TypedDict
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution import batch_log as batch_log_db
from drip_pipeline.errors import DripError

BatchKind = Literal["advance", "deliver"]
_NODES_LOGGED: Final = 50


class NodeBatchCount(TypedDict):
    """The enrollments of a batch at one node; stored in `campaign_batches.campaigns`."""

    campaign_id: str
    version: int
    node_id: str
    enrollments: int


NodeCounts: TypeAlias = list[NodeBatchCount]


@dataclass(frozen=True, slots=True)
class RunContext:
    """The Dagster run and step that execute a batch; None on the command line."""

    run_id: str | None = None
    step_key: str | None = None


NO_RUN: Final = RunContext()


@dataclass(frozen=True, slots=True)
class BatchLogEntry:
    """The identity and start time of a batch while it runs."""

    batch_id: UUID
    kind: BatchKind
    now: datetime
    context: RunContext
    started: float

    @classmethod
    def begin(
        cls, batch_id: UUID, kind: BatchKind, now: datetime, context: RunContext
    ) -> BatchLogEntry:
        """Start measuring the batch's duration."""
        return cls(batch_id, kind, now, context, perf_counter())

    def duration_ms(self) -> int:
        """Return the milliseconds since the batch began."""
        return round(1_000 * (perf_counter() - self.started))

    def committed(
        self, connection: Connection, sizes: Mapping[str, int], nodes: NodeCounts
    ) -> None:
        """Log the batch as committed, inside its own transaction."""
        self._log(connection, "committed", sizes, nodes, None)

    def failed(self, database: Database, error: Exception, nodes: NodeCounts) -> None:
        """Log the batch as failed, in a new transaction."""
        with database.transaction() as connection:
            self._log(connection, "failed", {}, nodes, loggable_message(error))

    def _log(
        self,
        connection: Connection,
        outcome: str,
        sizes: Mapping[str, int],
        nodes: NodeCounts,
        error: str | None,
    ) -> None:
        batch_log_db.insert_batch(
            connection,
            batch_log_db.BatchRow(
                id=self.batch_id,
                kind=self.kind,
                outcome=outcome,
                engine_now=self.now,
                duration_ms=self.duration_ms(),
                size=sum(node["enrollments"] for node in nodes),
                sizes=sizes,
                campaigns=nodes[:_NODES_LOGGED],
                error=error,
                run_id=self.context.run_id,
                step_key=self.context.step_key,
            ),
        )


def loggable_message(error: Exception) -> str:
    """Return the message of a DripError, otherwise only the class name.

    The message of a foreign error may contain personal data.
    """
    return str(error) if isinstance(error, DripError) else type(error).__name__


def count_per_node(groups: Iterable[tuple[UUID, int, str, int]]) -> NodeCounts:
    """Sum groups of (campaign, version, node, count) per node, largest first."""
    totals: Counter[tuple[UUID, int, str]] = Counter()
    for campaign_id, version, node_id, count in groups:
        totals[campaign_id, version, node_id] += count
    return [
        {
            "campaign_id": str(campaign_id),
            "version": version,
            "node_id": node_id,
            "enrollments": count,
        }
        for (campaign_id, version, node_id), count in totals.most_common()
    ]
