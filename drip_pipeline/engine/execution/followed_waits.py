"""Let waits follow their contacts: move the end of a date wait, end a wait whose condition holds.

The database queues changed contacts (sql/functions/followed_waits.sql); a chunk of the queue is
deleted in the transaction that moves the waits. No change is missed between reading a contact and
committing its wait: the batch locks the contact against changes before it reads, and queues those
that somebody else is changing, or whose wait reads events. Transactions from before a publication
do not see what its waits follow: these are checked once more when the transactions have ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution import followed_waits as followed_db
from drip_pipeline.db.execution.followed_waits import FollowedWait
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.db.operations import data_faults as data_faults_db
from drip_pipeline.db.operations.data_faults import DataFault
from drip_pipeline.domain.graph.contact_waits import (
    FOLLOWED,
    ConditionWait,
    DateWait,
    Judge,
    judge_of,
)
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.deadline import NO_DEADLINE, Deadline
from drip_pipeline.engine.execution import batch_context
from drip_pipeline.engine.execution.exit_by_rules import end_runs_of_changed
from drip_pipeline.engine.execution.transitions import Batch, NodePosition
from drip_pipeline.engine.gc_pause import no_collection
from drip_pipeline.engine.progress import Progress

CHUNK_CONTACTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class FollowReport:
    """The numbers of contacts checked, of waits that end at another time, and of waits that ended.

    `locked`: contacts that somebody else is changing; they are checked later. `exited`: runs that
    an exit rule ended.
    """

    contacts: int = 0
    moved: int = 0
    ended: int = 0
    locked: int = 0
    exited: int = 0

    def __add__(self, other: FollowReport) -> FollowReport:
        return FollowReport(
            self.contacts + other.contacts,
            self.moved + other.moved,
            self.ended + other.ended,
            self.locked + other.locked,
            self.exited + other.exited,
        )


NOTHING_FOLLOWED: Final = FollowReport()


def follow_contacts(
    database: Database,
    *,
    now: datetime,
    chunk_size: int = CHUNK_CONTACTS,
    deadline: Deadline = NO_DEADLINE,
    progress: Progress | None = None,
) -> FollowReport:
    """Check the waits of all queued contacts. The deadline ends it between two chunks."""
    with database.transaction(is_read_only=True) as connection:
        work = followed_db.work(connection, now)
    if work.can_open:
        with database.transaction() as connection:
            followed_db.begin_to_open(connection, now)
        with database.transaction() as connection:
            followed_db.open_listeners(connection, now)
    elif not work.has_queue:
        return NOTHING_FOLLOWED
    report = NOTHING_FOLLOWED
    while not deadline.is_over():
        chunk = retry_on_conflict(lambda: _check_chunk(database, chunk_size, now))
        report += chunk
        if progress and chunk.contacts:
            progress(f"checked the waits of {report.contacts:,} changed contacts")
        if chunk.contacts == chunk.locked:  # none is left, or all are being changed
            return report
    return report


def _check_chunk(database: Database, chunk_size: int, now: datetime) -> FollowReport:
    with no_collection(), database.transaction() as connection:
        contact_ids = followed_db.take_changed(connection, chunk_size)
        if not contact_ids:
            return NOTHING_FOLLOWED
        exited = end_runs_of_changed(connection, contact_ids, now)
        waits = followed_db.lock_of_contacts(connection, contact_ids)
        checked = check_waits(connection, waits, now)
        return replace(checked, contacts=len(contact_ids), exited=exited)


def check_waits(
    connection: Connection,
    waits: Sequence[FollowedWait],
    now: datetime,
    graphs: Mapping[tuple[UUID, int], CampaignGraph] | None = None,
) -> FollowReport:
    """Move or end these locked waits as their contacts are now; queue contacts that are locked.

    `graphs` by campaign and version, if they are not published yet. The number of statements does
    not depend on that of the waits.
    """
    if not waits:
        return NOTHING_FOLLOWED
    keys = {(wait.campaign_id, wait.campaign_version) for wait in waits}
    if graphs is None:
        versions = version_cache.versions(connection, keys)
        graphs = {key: version.graph for key, version in versions.items()}
    only_waits = {key: _only_waits(graphs[key]) for key in keys}
    groups: dict[NodePosition, list[DueState]] = {}
    until_of: dict[UUID, datetime | None] = {}
    for wait in waits:
        node_id = wait.current_node_id
        if node_id in only_waits[(wait.campaign_id, wait.campaign_version)].nodes:
            position = NodePosition(
                wait.campaign_id, wait.campaign_version, node_id, None, "active"
            )
            groups.setdefault(position, []).append(DueState(*wait[:5], None, 0, 0, 0, "active"))
            until_of[wait.id] = wait.wait_until
    context = batch_context.load(connection, groups, only_waits, now)
    changes: list[tuple[UUID, str | None, datetime | None]] = []
    faults: list[DataFault] = []
    for position, states in groups.items():
        key = (position.campaign_id, position.campaign_version)
        judge = _judge_at(only_waits[key], position.node_id, now)
        for state in states:
            if state.contact_id in context.unlocked:
                continue
            if (reason := context.unreadable.get(state.id)) is not None:
                faults.append(
                    DataFault(
                        state.contact_id, state.id, state.campaign_id, position.node_id, reason
                    )
                )
                continue
            port, until = judge(context.of(state))
            # A wait whose time has come and that was not moved is left as it would have been.
            if (until is None and port is not None) or until not in (None, until_of[state.id]):
                changes.append((state.id, port, until))
    if changes:
        followed_db.move(connection, changes, now)
    if faults:
        data_faults_db.store(connection, faults, now)
    if context.unlocked:
        followed_db.queue(connection, context.unlocked)
    ended = sum(port is not None for _, port, _ in changes)
    return FollowReport(len(waits), len(changes) - ended, ended, len(context.unlocked))


def queue_unguarded(connection: Connection, written: Batch, contact_ids: frozenset[UUID]) -> None:
    """Queue those of these contacts that the batch has put into a wait that follows them."""
    waiting = {
        state.contact_id
        for transition in written.transitions
        if transition.wait_for_event is not None and transition.wait_for_event.startswith(FOLLOWED)
        for state in transition.states
    }
    if unguarded := waiting & contact_ids:
        followed_db.queue(connection, unguarded)


def _only_waits(graph: CampaignGraph) -> CampaignGraph:
    """Return the graph without edges and other nodes: nothing else is read for the check."""
    nodes = {
        node_id: replace(node, ports={})
        for node_id, node in graph.nodes.items()
        if isinstance(node.config, DateWait | ConditionWait)
    }
    return CampaignGraph(graph.entry_node_id, nodes, {})


def _judge_at(graph: CampaignGraph, node_id: str, now: datetime) -> Judge:
    config = graph.nodes[node_id].config
    assert isinstance(config, DateWait | ConditionWait)
    return judge_of(config, now)


def follow_version(
    connection: Connection,
    campaign_id: UUID,
    version: int,
    graph: CampaignGraph,
    now: datetime,
) -> None:
    """Check the waits of states that moved to this version, and queue them: contacts may be changed
    while the transaction that moves them is open."""
    waits: Iterable[FollowedWait] = followed_db.of_version(connection, campaign_id, version)
    waits = list(waits)
    if waits:
        check_waits(connection, waits, now, {(campaign_id, version): graph})
        followed_db.queue(connection, {wait.contact_id for wait in waits})
