"""Workspaces, their time zones, and the countries of their phone numbers."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class ListedWorkspace(NamedTuple):
    """A workspace with the number of its campaigns and contacts."""

    workspace_id: UUID
    workspace: str
    time_zone: str
    region: str | None
    campaigns: int
    contacts: int


def listed(connection: Connection) -> list[ListedWorkspace]:
    """Return all workspaces by name."""
    return queries.records(connection, "list_workspaces", ListedWorkspace)


class WorkspaceRegion(NamedTuple):
    """A workspace with the ISO 3166 code of the country of its national phone numbers."""

    id: UUID
    default_region: str | None


def regions(connection: Connection, workspace_ids: Collection[UUID]) -> dict[UUID, str | None]:
    """Return the countries that phone numbers without a country code belong to, by workspace."""
    rows = queries.records(
        connection, "regions_of_workspaces", WorkspaceRegion, workspace_ids=list(workspace_ids)
    )
    return dict(rows)


def set_region(connection: Connection, workspace_id: UUID, region: str | None) -> None:
    """Set the country that phone numbers without a country code belong to."""
    queries.run(connection, "set_workspace_region", workspace_id=workspace_id, region=region)


def time_zones(connection: Connection) -> list[str]:
    """Return the names of the time zones that the server knows."""
    return queries.column(connection, "time_zone_names")


def set_time_zone(connection: Connection, workspace_id: UUID, time_zone: str) -> None:
    """Set a workspace's time zone; a trigger marks its metric days as stale."""
    queries.run(
        connection, "set_workspace_time_zone", workspace_id=workspace_id, time_zone=time_zone
    )


def count_stale_days(connection: Connection, workspace_id: UUID) -> int:
    """Return how many of a workspace's metric days are stale."""
    return int(queries.scalar(connection, "stale_days_of_workspace", workspace_id=workspace_id))


class ZoneOffset(NamedTuple):
    """The offset from UTC that the server computes for a time zone at an instant."""

    zone: str
    at: datetime
    utc_offset: timedelta


def offsets(
    connection: Connection, zones: Collection[str], instants: Collection[datetime]
) -> list[ZoneOffset]:
    """Return the server's offsets of these time zones at these instants, by zone and time.

    Raises DatabaseError for a name that the server does not know.
    """
    return queries.records(
        connection, "offsets_of_zones", ZoneOffset, zones=list(zones), instants=list(instants)
    )
