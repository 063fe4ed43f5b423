"""Campaigns of before, as taking them over reads and writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def unadopted_campaigns(connection: Connection) -> list[tuple[UUID, str]]:
    """(id, name) of campaigns with steps that have no version to run."""
    return [(row[0], row[1]) for row in queries.tuples(connection, "unadopted_campaigns")]


def lock_unadopted(connection: Connection, campaign_id: UUID) -> dict[str, Any] | None:
    """The campaign's row, locked; None when it was taken over meanwhile."""
    return queries.one(connection, "lock_unadopted", campaign_id=campaign_id)


def name_nodes(connection: Connection, campaign_id: UUID) -> None:
    """Give every step a node id and a type."""
    queries.run(connection, "name_nodes", campaign_id=campaign_id)


def pin_states(connection: Connection, campaign_id: UUID, version: int) -> int:
    """Pin states that an earlier design made to a version; how many."""
    return int(queries.scalar(connection, "pin_states", campaign_id=campaign_id, version=version))


def place_enrollments(
    connection: Connection,
    campaign_id: UUID,
    *,
    version: int,
    node_ids: Sequence[str],
    resume_ports: Sequence[str | None],
    delay_seconds: Sequence[int],
    now: datetime,
) -> int:
    """Make states for enrollments that are in progress; the lists give the node reached after 0, 1,
    2 … messages."""
    return int(
        queries.scalar(
            connection,
            "place_enrollments",
            campaign_id=campaign_id,
            version=version,
            node_ids=node_ids,
            resume_ports=resume_ports,
            delay_seconds=delay_seconds,
            now=now,
        )
    )
