"""The query of deliveries as operators see them."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class ListedDelivery(NamedTuple):
    """A delivery as operators see it, without the recipient's address."""

    id: UUID
    campaign: str
    version: int
    node_id: str
    channel: str
    status: str
    transport: str | None
    attempts: int
    error_code: str | None
    last_error: str | None
    due_at: datetime | None
    leased_until: datetime | None
    settled_at: datetime | None


def listed(
    connection: Connection,
    *,
    status: str,
    campaign_id: UUID | None,
    channel: str | None,
    count_limit: int,
) -> list[ListedDelivery]:
    """Return deliveries of a status, latest first."""
    return queries.records(
        connection,
        "list_deliveries",
        ListedDelivery,
        status=status,
        campaign_id=campaign_id,
        channel=channel,
        count_limit=count_limit,
    )
