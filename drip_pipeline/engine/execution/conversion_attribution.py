"""Attribute conversions to messages or assignments that are written after the event arrived.

An event is attributed to the last message before it, within the goal's time. Usually the message is
written first, and event ingestion attributes it (events/ingest.py). Both lock the workflow state
before they read, so the later one sees the earlier: the order of arrival changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import conversions as conversions_db
from drip_pipeline.engine.campaigns.goals import refused_by_goals

TOUCHING_CHANNELS: Final = frozenset({"email", "sms"})
"""Channels that address one contact: a post is public, and a webhook goes to a machine."""


def attribute_late(connection: Connection, enrollment_ids: Sequence[UUID], since: datetime) -> None:
    """Attribute events since `since` to what this transaction sent or assigned then."""
    if not enrollment_ids or not (goals := conversions_db.goals(connection)).is_any:
        return
    if not conversions_db.lock_states(connection, enrollment_ids):
        return
    refused: list[tuple[UUID, str]] = []
    if goals.is_any_narrowed:
        candidates = conversions_db.late_candidates(connection, enrollment_ids, since)
        refused = refused_by_goals(connection, candidates, since)
    changed = conversions_db.attribute_late(connection, enrollment_ids, since, refused)
    if changed:
        conversions_db.recount(connection, changed)
