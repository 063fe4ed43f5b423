"""Workspaces and their time zones."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class ListedWorkspace(NamedTuple):
    """A workspace with the number of its campaigns and contacts."""

    workspace_id: UUID
    workspace: str
    time_zone: str
    campaigns: int
    contacts: int


def listed(connection: Connection) -> list[ListedWorkspace]:
    """Return all workspaces by name."""
    return queries.records(connection, "list_workspaces", ListedWorkspace)


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
