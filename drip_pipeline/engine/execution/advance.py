"""Advance one batch of due states: claim, execute, commit, in one transaction.

If the transaction fails, nothing is written and the states are still due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.execution import batch_context
from drip_pipeline.engine.execution.batch_log import (
    NO_RUN,
    BatchLogEntry,
    NodeCounts,
    RunContext,
    count_per_node,
)
from drip_pipeline.engine.execution.claim import claim_due
from drip_pipeline.engine.execution.commit import commit
from drip_pipeline.engine.execution.execute import execute
from drip_pipeline.engine.execution.followed_waits import queue_unguarded
from drip_pipeline.engine.execution.message_holds import rules_of_campaigns
from drip_pipeline.engine.execution.transitions import (
    NO_SENT_MESSAGE,
    Batch,
    NodePosition,
    SentMessage,
    group_by_position,
)
from drip_pipeline.engine.gc_pause import no_collection
from drip_pipeline.errors import VersionNotFound

_NO_GRAPH: Final = CampaignGraph(entry_node_id="", nodes={}, variant_of_node={})


@dataclass(frozen=True, slots=True)
class AdvanceReport:
    """Result of one batch: states claimed (0 if none was due), and their number by new status.

    States that the database refuses to write are left out: they stay due, and a run ends if there
    are no others.
    """

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
    """Advance up to `batch_size` due states to their next wait, delivery or end.

    A conflict with another transaction is retried. Any other error, or the last conflict, is
    written to the batch log and raised.
    """
    # Around the call: the objects of the batch are freed before the next collection.
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
            if not due.states:
                return AdvanceReport(entry.batch_id, 0)
            claimed = group_by_position(due.states)
            written = advance_states(
                connection, claimed, batch_id=entry.batch_id, now=now, leaves_out=True
            )
            if written.size() < len(due.states):
                claimed = _only(claimed, written)
            if claimed:
                entry.committed(connection, written.sizes(), _node_counts(claimed))
                due.write_watermarks(connection, now)
        return AdvanceReport(entry.batch_id, written.size(), written.sizes(), entry.duration_ms())

    try:
        return retry_on_conflict(transaction)
    except Exception as error:  # a defect is logged with its states, too
        entry.failed(database, error, _node_counts(claimed))
        raise


def advance_states(
    connection: Connection,
    groups: Mapping[NodePosition, Sequence[DueState]],
    *,
    batch_id: UUID,
    now: datetime,
    message: SentMessage = NO_SENT_MESSAGE,
    leaves_out: bool = False,
) -> Batch:
    """Execute and commit states that the caller's transaction holds locked; see `commit`."""
    keys = {(position.campaign_id, position.campaign_version) for position in groups}
    graph_of = {key: _graph(connection, *key) for key in keys}
    rules = rules_of_campaigns(connection, graph_of, now)
    context = batch_context.load(connection, groups, graph_of, now, message, rules)
    batch = execute(groups, graph_of, context, now)
    written = commit(
        connection, batch, batch_id=batch_id, now=now, message=message, leaves_out=leaves_out
    )
    if context.unguarded:
        queue_unguarded(connection, written, context.unguarded)
    return written


def _only(
    groups: Mapping[NodePosition, Sequence[DueState]], batch: Batch
) -> dict[NodePosition, list[DueState]]:
    """Return the states of a batch by position, and no position without any."""
    written = {state.id for transition in batch.transitions for state in transition.states}
    written |= {state.id for state in batch.paused}
    kept = {
        position: [state for state in states if state.id in written]
        for position, states in groups.items()
    }
    return {position: states for position, states in kept.items() if states}


def _graph(connection: Connection, campaign_id: UUID, version: int) -> CampaignGraph:
    # With an empty graph only the states of a missing version fail, not the batch.
    try:
        return version_cache.version(connection, campaign_id, version).graph
    except VersionNotFound:
        return _NO_GRAPH


def _node_counts(groups: Mapping[NodePosition, Sequence[DueState]]) -> NodeCounts:
    return count_per_node(
        (position.campaign_id, position.campaign_version, position.node_id, len(states))
        for position, states in groups.items()
    )
