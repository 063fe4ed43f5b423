"""Workspaces and their time zones."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def listed(connection: Connection) -> list[dict[str, Any]]:
    """All workspaces by name: workspace_id, workspace, time_zone, campaigns, contacts."""
    return queries.rows(connection, "list_workspaces")


def time_zones(connection: Connection) -> list[str]:
    """The names of time zones that the database knows."""
    return [row[0] for row in queries.tuples(connection, "time_zone_names")]


def set_time_zone(connection: Connection, workspace_id: UUID, time_zone: str) -> None:
    """Set a workspace's time zone; a trigger marks its days to be counted anew."""
    queries.run(
        connection, "set_workspace_time_zone", workspace_id=workspace_id, time_zone=time_zone
    )


def marked_days(connection: Connection, workspace_id: UUID) -> int:
    """How many days of a workspace are to be counted anew."""
    found: int = queries.scalar(connection, "marked_days_of_workspace", workspace_id=workspace_id)
    return found
