"""Conversions of campaigns with an event goal, for events that arrived before their message.

Conversions by events that arrive after it are in events/ingestion.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def is_any_goal(connection: Connection) -> bool:
    """Return whether any campaign has an event as its goal."""
    return bool(queries.scalar(connection, "is_any_goal"))


def lock_states(connection: Connection, enrollment_ids: Sequence[UUID]) -> int:
    """Lock the states of these enrollments in campaigns with an event goal; return how many."""
    return int(queries.scalar(connection, "lock_states_of_goals", enrollment_ids=enrollment_ids))


def attribute_late(
    connection: Connection, enrollment_ids: Sequence[UUID], since: datetime
) -> list[UUID]:
    """Insert or move the conversions by events since `since`; return the changed enrollments."""
    return queries.column(
        connection, "attribute_late_conversions", enrollment_ids=enrollment_ids, since=since
    )


def recount(connection: Connection, enrollment_ids: Sequence[UUID]) -> None:
    """Recompute the conversions of these enrollments' messages and split assignments."""
    for name in ("recount_conversions_of_messages", "recount_conversions_of_assignments"):
        queries.run(connection, name, enrollment_ids=enrollment_ids)
