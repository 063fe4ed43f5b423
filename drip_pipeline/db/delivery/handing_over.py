"""Queries that mark leased deliveries as being sent, just before they are handed over, and those
that withdraw unsent ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class LeftOut(NamedTuple):
    """A leased delivery that is not sent, because its run ended meanwhile."""

    id: UUID
    reason: str


class UnsentMessage(NamedTuple):
    """A locked delivery that is due, held, or to be sent again; `attempts` were made before."""

    id: UUID
    channel: str
    attempts: int


def mark_sending(
    connection: Connection,
    ids: Sequence[UUID],
    *,
    transport: str,
    channel_id: UUID | None,
    lease_token: UUID,
    leased_until: datetime,
    now: datetime,
) -> list[UUID]:
    """Mark leased deliveries as being sent if their runs still wait for them; return the ids of
    those that were marked.

    If the process dies before they are settled, their outcome is unknown.
    """
    return queries.column(
        connection,
        "mark_sending",
        ids=ids,
        transport=transport,
        channel_id=channel_id,
        lease_token=lease_token,
        leased_until=leased_until,
        now=now,
    )


def reasons_left_out(connection: Connection, ids: Sequence[UUID]) -> list[LeftOut]:
    """Return why each of these deliveries is not sent: the reason for which its run ended."""
    return queries.records(connection, "reasons_left_out", LeftOut, ids=ids)


def lock_unsent(connection: Connection, enrollment_ids: Sequence[UUID]) -> list[UnsentMessage]:
    """Lock and return the unsent messages that these runs wait for; those that another transaction
    has locked are left out."""
    return queries.records(
        connection, "lock_unsent_messages", UnsentMessage, enrollment_ids=enrollment_ids
    )
