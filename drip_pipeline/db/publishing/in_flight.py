"""People inside versions of a campaign: counting them by node and by how they stand there, locking
them, and moving or ending all of them at once. What becomes of whom is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.migration_rules import Move, Step


def versions_with_people(
    connection: Connection, campaign_id: UUID, *, but_version: int
) -> list[int]:
    """Versions other than this one that somebody is inside, or has failed in."""
    found = queries.tuples(
        connection, "versions_with_people", campaign_id=campaign_id, but_version=but_version
    )
    return [row[0] for row in found]


def node_ids(connection: Connection, campaign_id: UUID) -> set[str]:
    """Ids of all nodes that any published version has."""
    return {
        row[0] for row in queries.tuples(connection, "nodes_of_versions", campaign_id=campaign_id)
    }


def lock(connection: Connection, campaign_id: UUID, versions: Sequence[int]) -> int:
    """Lock everybody inside these versions until the transaction ends; how many they are."""
    return int(
        queries.scalar(
            connection, "lock_people_in_flight", campaign_id=campaign_id, versions=list(versions)
        )
    )


def people(
    connection: Connection, campaign_id: UUID, versions: Sequence[int]
) -> list[dict[str, Any]]:
    """How many people, by version, node_id, status, situation and whether they are enrolled
    still."""
    return queries.rows(
        connection, "people_in_flight", campaign_id=campaign_id, versions=list(versions)
    )


def waits(
    connection: Connection,
    campaign_id: UUID,
    versions: Sequence[int],
    moves: Sequence[Move],
    *,
    tolerance: timedelta,
    now: datetime,
) -> list[dict[str, Any]]:
    """For how many people a wait that is measured anew is over at once: by_event, by_time."""
    anew = [move for move in moves if move.step is Step.WAIT]
    if not anew:
        return []
    return queries.rows(
        connection,
        "waits_in_flight",
        campaign_id=campaign_id,
        versions=list(versions),
        from_version=[move.version for move in anew],
        from_node=[move.node_id for move in anew],
        situation=[move.situation.value for move in anew],
        wait_seconds=[move.wait_seconds for move in anew],
        wait_for_event=[move.wait_for_event for move in anew],
        tolerance=tolerance,
        now=now,
    )


def migrate(
    connection: Connection,
    campaign_id: UUID,
    versions: Sequence[int],
    moves: Sequence[Move],
    graph: CampaignGraph,
    *,
    to_version: int,
    reason: str,
    tolerance: timedelta,
    now: datetime,
) -> list[dict[str, Any]]:
    """Move everybody inside these versions, whom `lock` has locked; what became of how many, and
    in each row how many people and messages that were altogether."""
    variants = [graph.variant_of_node.get(move.target.node_id, (None, None)) for move in moves]
    return queries.rows(
        connection,
        "migrate_people",
        campaign_id=campaign_id,
        versions=list(versions),
        to_version=to_version,
        from_version=[move.version for move in moves],
        from_node=[move.node_id for move in moves],
        situation=[move.situation.value for move in moves],
        to_node=[move.target.node_id for move in moves],
        to_step_id=[move.target.step_id for move in moves],
        step=[move.step.value for move in moves],
        message=[move.message.value for move in moves],
        wait_seconds=[move.wait_seconds for move in moves],
        wait_for_event=[move.wait_for_event for move in moves],
        resume_port=[move.resume_port for move in moves],
        split_node_id=[split for split, _ in variants],
        variant=[variant for _, variant in variants],
        reason=reason,
        tolerance=tolerance,
        now=now,
    )


def let_leave(
    connection: Connection,
    campaign_id: UUID,
    versions: Sequence[int],
    *,
    reason: str,
    now: datetime,
) -> list[dict[str, Any]]:
    """Let everybody inside these versions leave; rows as those of `migrate`."""
    return queries.rows(
        connection,
        "exit_people",
        campaign_id=campaign_id,
        versions=list(versions),
        reason=reason,
        now=now,
    )
