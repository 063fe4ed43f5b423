"""What the demonstration reads and removes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def recorded_since(
    connection: Connection, workspace_id: UUID, after_id: int
) -> list[dict[str, Any]]:
    """Recorded messages after a given one: id, delivery_id, campaign, node_id, recorded_at."""
    return queries.rows(
        connection, "messages_recorded_since", workspace_id=workspace_id, after_id=after_id
    )


def latest_recorded(connection: Connection) -> int:
    """The number of the newest recorded message, 0 when there is none."""
    return int(queries.scalar(connection, "latest_recorded_message"))


def delete_workspace(connection: Connection, workspace_id: UUID) -> None:
    """Remove a workspace with everything of it."""
    queries.run(connection, "delete_workspace", workspace_id=workspace_id)
