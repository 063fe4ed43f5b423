"""Workflow states inside versions of a campaign: count, lock, migrate and exit them as a set.

The policy that decides between these is in engine/publishing/in_flight_policy.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection
from drip_pipeline.domain.events.vocabulary import EVENT_CLOCK_TOLERANCE
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.migration_rules import EXIT_REASON, Move, MoveAction


class InFlightCount(NamedTuple):
    """How many states have this version, node, workflow status and situation."""

    version: int
    node_id: str
    status: str
    situation: str
    is_enrolled: bool
    states: int


class EndedWaitCount(NamedTuple):
    """How many states have a restarted wait that ends at once, by its event or by its time."""

    version: int
    node_id: str
    status: str
    situation: str
    by_event: int
    by_time: int


class MigratedCount(NamedTuple):
    """How many states a migration moved; the last three columns are totals of the statement."""

    version: int
    node_id: str
    status: str
    situation: str
    states: int
    by_event: int
    by_time: int
    moved: int
    renewed: int
    withdrawn: int


class NodeArrival(NamedTuple):
    """A state in flight with the time of its arrival at the node, and its time zones as written."""

    state_id: UUID
    contact_id: UUID
    version: int
    node_id: str
    situation: str
    came_at: datetime
    of_contact: str | None
    of_workspace: str | None


class WaitEnds(NamedTuple):
    """The ends of restarted waits that depend on a time zone, by state."""

    state_ids: Sequence[UUID]
    ends: Sequence[datetime]


NO_ENDS: Final = WaitEnds((), ())


class ExitedCount(NamedTuple):
    """How many states exited; the last two columns are totals of the statement."""

    version: int
    node_id: str
    status: str
    situation: str
    is_enrolled: bool
    states: int
    moved: int
    withdrawn: int


def versions_in_flight(
    connection: Connection, campaign_id: UUID, *, except_version: int
) -> list[int]:
    """Return the other versions that have running, waiting, paused or failed states."""
    return queries.column(
        connection, "versions_in_flight", campaign_id=campaign_id, except_version=except_version
    )


def node_ids(connection: Connection, campaign_id: UUID) -> set[str]:
    """Return the ids of all nodes that any published version has."""
    return set(queries.column(connection, "nodes_of_versions", campaign_id=campaign_id))


def lock(connection: Connection, campaign_id: UUID, versions: Sequence[int]) -> int:
    """Lock all states inside these versions until the transaction ends; return their number."""
    return int(
        queries.scalar(
            connection, "lock_states_in_flight", campaign_id=campaign_id, versions=list(versions)
        )
    )


def counts(
    connection: Connection, campaign_id: UUID, versions: Sequence[int]
) -> list[InFlightCount]:
    """Count the states inside these versions by node, status, situation and enrollment."""
    return queries.records(
        connection,
        "states_in_flight",
        InFlightCount,
        campaign_id=campaign_id,
        versions=list(versions),
    )


def arrivals(
    connection: Connection,
    campaign_id: UUID,
    versions: Sequence[int],
    places: Sequence[tuple[int, str, str]],
) -> list[NodeArrival]:
    """Return the states at these places: version, node and situation."""
    return queries.records(
        connection,
        "arrivals_in_flight",
        NodeArrival,
        campaign_id=campaign_id,
        versions=list(versions),
        from_version=[version for version, _, _ in places],
        from_node=[node_id for _, node_id, _ in places],
        situation=[situation for _, _, situation in places],
    )


def ended_waits(
    connection: Connection,
    campaign_id: UUID,
    versions: Sequence[int],
    moves: Sequence[Move],
    ends: WaitEnds,
    *,
    now: datetime,
) -> list[EndedWaitCount]:
    """Count the states with a restarted wait that ends at once."""
    restarted = [move for move in moves if move.action is MoveAction.WAIT]
    if not restarted:
        return []
    return queries.records(
        connection,
        "ended_waits_in_flight",
        EndedWaitCount,
        campaign_id=campaign_id,
        versions=list(versions),
        from_version=[move.version for move in restarted],
        from_node=[move.node_id for move in restarted],
        situation=[move.situation.value for move in restarted],
        wait_seconds=[move.wait_seconds for move in restarted],
        wait_for_event=[move.wait_for_event for move in restarted],
        end_state_ids=uuids(ends.state_ids),
        ends=list(ends.ends),
        tolerance=EVENT_CLOCK_TOLERANCE,
        now=now,
    )


def migrate(
    connection: Connection,
    campaign_id: UUID,
    versions: Sequence[int],
    moves: Sequence[Move],
    graph: CampaignGraph,
    ends: WaitEnds,
    *,
    to_version: int,
    now: datetime,
) -> list[MigratedCount]:
    """Move all states inside these versions to `to_version`, whose graph is `graph`.

    The caller has locked the states with `lock`.
    """
    variants = [graph.variant_of_node.get(move.target.node_id, (None, None)) for move in moves]
    return queries.records(
        connection,
        "migrate_states",
        MigratedCount,
        campaign_id=campaign_id,
        versions=list(versions),
        to_version=to_version,
        from_version=[move.version for move in moves],
        from_node=[move.node_id for move in moves],
        situation=[move.situation.value for move in moves],
        to_node=[move.target.node_id for move in moves],
        to_step_id=[move.target.step_id for move in moves],
        step=[move.action.value for move in moves],
        message=[move.message.value for move in moves],
        wait_seconds=[move.wait_seconds for move in moves],
        wait_for_event=[move.wait_for_event for move in moves],
        end_state_ids=uuids(ends.state_ids),
        ends=list(ends.ends),
        resume_port=[move.resume_port for move in moves],
        split_node_id=[split for split, _ in variants],
        variant=[variant for _, variant in variants],
        reason=EXIT_REASON,
        tolerance=EVENT_CLOCK_TOLERANCE,
        now=now,
    )


def exit_states(
    connection: Connection, campaign_id: UUID, versions: Sequence[int], *, now: datetime
) -> list[ExitedCount]:
    """Exit all states inside these versions. The caller has locked them with `lock`."""
    return queries.records(
        connection,
        "exit_states",
        ExitedCount,
        campaign_id=campaign_id,
        versions=list(versions),
        reason=EXIT_REASON,
        now=now,
    )
