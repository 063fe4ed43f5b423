"""Messages that rules hold: why, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection


class QueuedMessage(NamedTuple):
    """When a message was queued, and the time zones of its contact as written."""

    id: UUID
    queued_at: datetime
    of_contact: str | None
    of_workspace: str | None


class HeldMessage(NamedTuple):
    """A message that a rule holds until an instant."""

    id: UUID
    rule: str
    until: datetime


class HeldCount(NamedTuple):
    """The number of messages of a node that a rule holds, and the times at which they are due."""

    campaign_version: int
    node_id: str
    rule: str
    messages: int
    first_until: datetime
    last_until: datetime


class HeldByReason(NamedTuple):
    """The number of messages that a rule holds."""

    reason: str
    messages: int


def queued(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, QueuedMessage]:
    """Return these messages by id."""
    rows = queries.many_records(connection, "queued_messages", QueuedMessage, ids=uuids(ids))
    return {row.id: row for row in rows}


def hold(connection: Connection, rows: Sequence[HeldMessage], now: datetime) -> int:
    """Hold pending messages, with an event each; return their number."""
    return queries.run(
        connection,
        "hold_messages",
        ids=uuids([row.id for row in rows]),
        rules=[row.rule for row in rows],
        untils=[row.until for row in rows],
        now=now,
    )


def held(connection: Connection, campaign_id: UUID, now: datetime | None) -> list[HeldCount]:
    """Count the messages of a campaign that rules hold at `now`, by version, node and rule.

    Without a time, those are counted too whose hold has ended and that are due.
    """
    return queries.records(connection, "held_messages", HeldCount, campaign_id=campaign_id, now=now)


def by_reason(connection: Connection, now: datetime) -> list[HeldByReason]:
    """Count the messages of all campaigns that rules hold at `now`, by rule."""
    return queries.records(connection, "held_by_reason", HeldByReason, now=now)
