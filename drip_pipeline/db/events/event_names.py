"""Queries of the registered names of own events: register those of a chunk, and read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class EventName(NamedTuple):
    """A name of own events. `events` were ingested, and happened from `first_seen_at` to
    `last_seen_at`; `properties` are the JSON types of their properties by name.
    """

    workspace: str
    event_type: str
    events: int
    first_seen_at: datetime
    last_seen_at: datetime
    properties: dict[str, Any]


def register(connection: Connection) -> None:
    """Register the names of the own events in `arrived_events`."""
    queries.run(connection, "register_event_names")


def listed(connection: Connection, workspace_id: UUID | None) -> list[EventName]:
    """Return the names of a workspace, or of all, by workspace and name."""
    return queries.records(connection, "event_names", EventName, workspace_id=workspace_id)


def of_workspace(connection: Connection, workspace_id: UUID) -> frozenset[str]:
    """Return the names of own events that a workspace has had."""
    return frozenset(queries.column(connection, "own_event_names", workspace_id=workspace_id))
