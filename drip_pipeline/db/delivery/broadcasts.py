"""Queries of `campaign_broadcasts`: posts for all recipients, one per node, version and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class Broadcast(NamedTuple):
    """A post that workflow states have reached."""

    id: UUID
    workspace_id: UUID
    campaign_id: UUID
    campaign_version: int
    node_id: str
    step_id: UUID | None
    schedule_time: datetime | None
    due_at: datetime


class BroadcastRow(NamedTuple):
    """The stored state of a post, locked."""

    id: UUID
    status: str
    due_at: datetime | None
    leased_until: datetime | None
    settled_at: datetime | None
    attempts: int
    certainty: str
    provider_message_id: str | None
    details: Mapping[str, object] | None
    error_code: str | None
    last_error: str | None


class PostOutcome(NamedTuple):
    """The result of sending a post: sent, failed, pending (again at `due_at`) or unknown (until
    `grace_until`; None: until an operator decides)."""

    status: str
    due_at: datetime | None = None
    grace_until: datetime | None = None
    certainty: str = "known"
    provider_message_id: str | None = None
    details: Mapping[str, object] | None = None
    error_code: str | None = None
    error: str | None = None


def open_and_lock(
    connection: Connection, broadcasts: Sequence[Broadcast], now: datetime
) -> dict[UUID, BroadcastRow]:
    """Create the posts that do not exist, lock all of them, and return their rows by id."""
    queries.run(connection, "open_broadcasts", now=now, **queries.columns(Broadcast, broadcasts))
    ids = [broadcast.id for broadcast in broadcasts]
    rows = queries.records(connection, "lock_broadcasts", BroadcastRow, ids=ids)
    return {row.id: row for row in rows}


def claim(
    connection: Connection,
    broadcast_id: UUID,
    *,
    transport: str,
    leased_until: datetime,
    retry_until: datetime | None,
) -> bool:
    """Mark a pending post as being sent; False when it is not pending any more."""
    touched = queries.run(
        connection,
        "claim_broadcast",
        id=broadcast_id,
        transport=transport,
        leased_until=leased_until,
        retry_until=retry_until,
    )
    return touched == 1


def reopen(connection: Connection, broadcast_id: UUID, now: datetime) -> None:
    """Make a failed post due again."""
    queries.run(connection, "reopen_broadcast", id=broadcast_id, now=now)


def settle(connection: Connection, broadcast_id: UUID, outcome: PostOutcome, now: datetime) -> None:
    """Store the result of sending a post."""
    queries.run(
        connection,
        "settle_broadcast",
        id=broadcast_id,
        now=now,
        **outcome._asdict() | {"details": dict(outcome.details) if outcome.details else None},
    )


def expired(connection: Connection, now: datetime) -> list[UUID]:
    """Return the posts that `recover` would change."""
    return queries.column(connection, "expired_broadcasts", now=now)


def recover(
    connection: Connection,
    *,
    grace_seconds: float,
    now: datetime,
    ids: Sequence[UUID] | None = None,
) -> int:
    """Release posts with an expired lease, and assume posts past the grace time to be sent: all, or
    these; return how many changed."""
    return queries.run(
        connection,
        "recover_broadcasts",
        grace_seconds=grace_seconds,
        now=now,
        ids=None if ids is None else list(ids),
    )


def settle_unknown(
    connection: Connection,
    *,
    is_sent: bool,
    ids: Sequence[UUID] | None,
    campaign_id: UUID | None,
    now: datetime,
) -> int:
    """Settle posts of unknown outcome as an operator decides; return how many there were."""
    return queries.run(
        connection,
        "settle_unknown_broadcasts",
        is_sent=is_sent,
        ids=None if ids is None else list(ids),
        campaign_id=campaign_id,
        now=now,
    )
