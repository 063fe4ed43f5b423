"""One batch of due people: claim, execute, commit, in one transaction. If anything breaks, nothing
happened, and the rows are still due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.graph import CampaignGraph
from drip_pipeline.engine import facts, graphs
from drip_pipeline.engine.claim import claim_due
from drip_pipeline.engine.collector import no_collection
from drip_pipeline.engine.commit import commit
from drip_pipeline.engine.execute import execute
from drip_pipeline.engine.ledger import NO_RUN, BatchEntry, RunContext, places
from drip_pipeline.engine.transitions import NO_MESSAGE, Batch, DueState, Message
from drip_pipeline.errors import Conflict, VersionNotFound

CONFLICT_TRIES: Final = 4
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
    for attempt in range(1, CONFLICT_TRIES + 1):
        entry = BatchEntry.begin(uuid4(), "advance", now, context)
        claimed: list[DueState] = []
        try:
            with no_collection(), database.transaction() as connection:
                found = claim_due(
                    connection, batch_size=batch_size, now=now, shard=shard, shards=shards
                )
                claimed = found.people
                if not claimed:
                    return AdvanceReport(entry.batch_id, 0)
                written = carry_on(connection, claimed, batch_id=entry.batch_id, now=now)
                entry.committed(connection, written.sizes(), _places(claimed))
                found.mark(connection, now)
            return AdvanceReport(entry.batch_id, len(claimed), written.sizes(), entry.duration_ms())
        except Conflict as error:
            if attempt == CONFLICT_TRIES:
                entry.failed(database, error, _places(claimed))
                raise
        except Exception as error:  # a defect, too, has to say over whom it came
            entry.failed(database, error, _places(claimed))
            raise
    raise AssertionError("the loop returns or raises")


def carry_on(
    connection: Connection,
    people: Sequence[DueState],
    *,
    batch_id: UUID,
    now: datetime,
    message: Message = NO_MESSAGE,
) -> Batch:
    """Execute and commit people whose states the caller's transaction holds locked."""
    keys = {(person.campaign_id, person.campaign_version) for person in people}
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


def _places(people: Sequence[DueState]) -> list[dict[str, object]]:
    return places((p.campaign_id, p.campaign_version, p.current_node_id) for p in people)
