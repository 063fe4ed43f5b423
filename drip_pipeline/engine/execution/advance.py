"""One batch of due people: claim, execute, commit, in one transaction. If anything breaks, nothing
happened, and the rows are still due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.execution import batch_context as facts
from drip_pipeline.engine.execution.batch_log import NO_RUN, BatchLogEntry, RunContext, places
from drip_pipeline.engine.execution.claim import claim_due
from drip_pipeline.engine.execution.commit import commit
from drip_pipeline.engine.execution.execute import execute
from drip_pipeline.engine.execution.transitions import (
    NO_SENT_MESSAGE,
    Batch,
    DueState,
    NodePosition,
    SentMessage,
    group_by_position,
)
from drip_pipeline.engine.gc_pause import no_collection
from drip_pipeline.errors import VersionNotFound

_NO_GRAPH: Final = CampaignGraph(entry_node_id="", nodes={}, variant_of_node={})


@dataclass(frozen=True, slots=True)
class AdvanceReport:
    """What one batch did. `claimed` is 0 when nothing was due; `sizes` counts people by the status
    they ended in."""

    batch_id: UUID
    claimed: int
    sizes: dict[str, int] = field(default_factory=dict)
    duration_ms: int = 0


def advance_batch(
    database: Database,
    *,
    now: datetime,
    batch_size: int,
    shard: int = 0,
    shards: int = 1,
    context: RunContext = NO_RUN,
) -> AdvanceReport:
    """Carry up to `batch_size` due people on to their next wait, delivery or end.

    Raises what made the batch fail, after entering it in the ledger; a conflict with another
    transaction is tried again first.
    """
    # Around the call: whatever the batch made is gone before the collector looks again.
    with no_collection():
        return _advance_batch(database, now, batch_size, shard, shards, context)


def _advance_batch(
    database: Database,
    now: datetime,
    batch_size: int,
    shard: int,
    shards: int,
    context: RunContext,
) -> AdvanceReport:
    entry = BatchLogEntry.begin(uuid4(), "advance", now, context)
    claimed: dict[NodePosition, list[DueState]] = {}

    def transaction() -> AdvanceReport:
        nonlocal entry, claimed
        entry = BatchLogEntry.begin(uuid4(), "advance", now, context)
        claimed = {}
        with database.transaction() as connection:
            due = claim_due(connection, batch_size=batch_size, now=now, shard=shard, shards=shards)
            if not due.people:
                return AdvanceReport(entry.batch_id, 0)
            claimed = group_by_position(due.people)
            written = advance_states(connection, claimed, batch_id=entry.batch_id, now=now)
            entry.committed(connection, written.sizes(), _places(claimed))
            due.mark(connection, now)
        return AdvanceReport(entry.batch_id, len(due.people), written.sizes(), entry.duration_ms())

    try:
        return retry_on_conflict(transaction)
    except Exception as error:  # a defect is logged with its states, too
        entry.failed(database, error, _places(claimed))
        raise


def advance_states(
    connection: Connection,
    people: Mapping[NodePosition, Sequence[DueState]],
    *,
    batch_id: UUID,
    now: datetime,
    message: SentMessage = NO_SENT_MESSAGE,
) -> Batch:
    """Execute and commit people whose states the caller's transaction holds locked, given by where
    they stand."""
    keys = {(place.campaign_id, place.campaign_version) for place in people}
    graph_of = {key: _graph(connection, *key) for key in keys}
    known = facts.load(connection, people, graph_of, now)
    batch = execute(people, graph_of, known, now)
    return commit(connection, batch, batch_id=batch_id, now=now, message=message)


def _graph(connection: Connection, campaign_id: UUID, version: int) -> CampaignGraph:
    # A version that is gone fails its own people by name, not the batch.
    try:
        return graphs.version(connection, campaign_id, version).graph
    except VersionNotFound:
        return _NO_GRAPH


def _places(people: Mapping[NodePosition, Sequence[DueState]]) -> list[dict[str, object]]:
    return places(
        (place.campaign_id, place.campaign_version, place.node_id, len(group))
        for place, group in people.items()
    )
