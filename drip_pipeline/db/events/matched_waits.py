"""Events of a transaction, for the waits that judge events one by one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class ArrivedForWait(NamedTuple):
    """An event, and the waiting state that it may concern; `belongs_to` is run, contact or other
    run."""

    id: UUID
    campaign_id: UUID
    campaign_version: int
    contact_id: UUID
    current_node_id: str
    started_at: datetime
    since: datetime
    event_id: UUID
    event_type: str
    occurred_at: datetime
    event_data: Mapping[str, Any]
    is_machine: bool
    message_id: UUID | None
    node_id: str | None
    belongs_to: str


def arrivals(connection: Connection) -> list[ArrivedForWait]:
    """Return the resolved events for the states whose wait judges them; these are locked."""
    return queries.records(connection, "arrivals_of_matched_waits", ArrivedForWait)
