"""Conversions of campaigns whose goal is an event of the contact's, where the message becomes known
after the event. Those that arriving events amount to at once are in events.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def is_any_goal(connection: Connection) -> bool:
    """Whether any campaign has an event for its goal."""
    return bool(queries.scalar(connection, "is_any_goal"))


def lock_states(connection: Connection, enrollment_ids: Sequence[UUID]) -> int:
    """Lock those of these enrollments' states whose campaign has such a goal; how many."""
    return int(queries.scalar(connection, "lock_states_of_goals", enrollment_ids=enrollment_ids))


def attribute_late(
    connection: Connection, enrollment_ids: Sequence[UUID], since: datetime
) -> list[UUID]:
    """Write down, or move, conversions by events of `since` or later; the enrollments they
    changed.
    """
    found = queries.tuples(
        connection, "attribute_late_conversions", enrollment_ids=enrollment_ids, since=since
    )
    return [row[0] for row in found]


def recount(connection: Connection, enrollment_ids: Sequence[UUID]) -> None:
    """Count the conversions of these enrollments' messages and assignments anew."""
    for name in ("recount_conversions_of_messages", "recount_conversions_of_assignments"):
        queries.run(connection, name, enrollment_ids=enrollment_ids)
