"""Queries of the report of the global holdout."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class HoldoutCounts(NamedTuple):
    """Contacts in the holdout and outside of it, and those among them with the event."""

    held_out: int
    held_out_with_event: int
    others: int
    others_with_event: int


def counts(
    connection: Connection,
    workspace_id: UUID,
    event_type: str,
    *,
    since: datetime,
    until: datetime,
    salt: str,
    low: int,
    high: int,
) -> HoldoutCounts:
    """Count the contacts with a position below `low`, and those from `high` on."""
    (row,) = queries.records(
        connection,
        "holdout_counts",
        HoldoutCounts,
        workspace_id=workspace_id,
        event_type=event_type,
        since=since,
        until=until,
        salt=salt,
        low=low,
        high=high,
    )
    return row


def time_zone(connection: Connection, workspace_id: UUID) -> str | None:
    """Return the time zone of a workspace."""
    zone: str | None = queries.scalar(
        connection, "time_zone_of_workspace", workspace_id=workspace_id
    )
    return zone
