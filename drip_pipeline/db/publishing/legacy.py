"""Legacy campaigns, which ran before this engine was installed: find, lock and adopt them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing.publish import StoredCampaign


class LegacyCampaign(NamedTuple):
    """A campaign with steps and without a published version."""

    id: UUID
    name: str
    status: str


def unadopted_campaigns(connection: Connection) -> list[LegacyCampaign]:
    """Return the campaigns that have steps and no version to run."""
    return queries.records(connection, "unadopted_campaigns", LegacyCampaign)


def lock_unadopted(connection: Connection, campaign_id: UUID) -> StoredCampaign | None:
    """Lock a legacy campaign and return its row; None when it was adopted meanwhile."""
    return queries.record(connection, "lock_unadopted", StoredCampaign, campaign_id=campaign_id)


def assign_node_ids(connection: Connection, campaign_id: UUID) -> None:
    """Write a node id and a node type to every step that has none."""
    queries.run(connection, "assign_node_ids", campaign_id=campaign_id)


def pin_states(connection: Connection, campaign_id: UUID, version: int) -> int:
    """Pin the campaign's existing states to a version; return their number."""
    return int(queries.scalar(connection, "pin_states", campaign_id=campaign_id, version=version))


def create_states_in_progress(
    connection: Connection,
    campaign_id: UUID,
    *,
    version: int,
    node_ids: Sequence[str],
    resume_ports: Sequence[str | None],
    delay_seconds: Sequence[int],
    now: datetime,
) -> int:
    """Create states for enrollments in progress; return their number.

    Entry n of each list belongs to an enrollment that was sent n messages.
    """
    return int(
        queries.scalar(
            connection,
            "create_states_in_progress",
            campaign_id=campaign_id,
            version=version,
            node_ids=node_ids,
            resume_ports=resume_ports,
            delay_seconds=delay_seconds,
            now=now,
        )
    )
