"""Read and remove what the demonstration writes."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class RecordedMessage(NamedTuple):
    """A message that was recorded instead of sent."""

    id: int
    delivery_id: UUID
    campaign: str
    node_id: str
    recorded_at: datetime


def recorded_since(
    connection: Connection, workspace_id: UUID, after_id: int
) -> list[RecordedMessage]:
    """Return the recorded messages with an id above `after_id`, in order."""
    return queries.records(
        connection,
        "messages_recorded_since",
        RecordedMessage,
        workspace_id=workspace_id,
        after_id=after_id,
    )


def latest_recorded(connection: Connection) -> int:
    """Return the id of the newest recorded message, 0 if there is none."""
    return int(queries.scalar(connection, "latest_recorded_message"))


def delete_workspace(connection: Connection, workspace_id: UUID) -> None:
    """Delete a workspace with all its rows."""
    queries.run(connection, "delete_workspace", workspace_id=workspace_id)
