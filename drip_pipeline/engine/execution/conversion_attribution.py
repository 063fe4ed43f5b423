"""Conversions that become known late: a message goes out, or a person is assigned, and the event
that it is to be credited with has arrived already.

An event counts for the last message before it, within the goal's time. Usually the message is known
first, and ingestion finds it (ingest.py). Both ways lock the person's state before they look, so
whichever comes second sees the other: the order of arrival changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import conversions as conversions_db

TOUCHING_CHANNELS: Final = frozenset({"email", "sms"})
"""Whose messages reach a person; a post is for everybody, a webhook for a machine."""


def attribute_late(connection: Connection, enrollment_ids: Sequence[UUID], since: datetime) -> None:
    """Credit what happened at `since` or later to what this transaction sent or assigned then."""
    if not enrollment_ids or not conversions_db.is_any_goal(connection):
        return
    if not conversions_db.lock_states(connection, enrollment_ids):
        return
    changed = conversions_db.attribute_late(connection, enrollment_ids, since)
    if changed:
        conversions_db.recount(connection, changed)
