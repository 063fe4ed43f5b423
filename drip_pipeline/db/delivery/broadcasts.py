"""Posts for everybody: at most one per node of a version and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class Broadcast(NamedTuple):
    """A post that people have reached."""

    id: UUID
    workspace_id: UUID
    campaign_id: UUID
    campaign_version: int
    node_id: str
    step_id: UUID | None
    schedule_time: datetime | None
    due_at: datetime


class PostOutcome(NamedTuple):
    """What became of handing over a post: sent, failed, pending (again at `due_at`) or unknown
    (until `grace_until`, or until somebody says)."""

    status: str
    due_at: datetime | None = None
    grace_until: datetime | None = None
    certainty: str = "known"
    provider_message_id: str | None = None
    details: Mapping[str, Any] | None = None
    error_code: str | None = None
    error: str | None = None


def open_and_lock(
    connection: Connection, wanted: Sequence[Broadcast], now: datetime
) -> dict[UUID, dict[str, Any]]:
    """Make those that are new, lock all, and give their rows by id."""
    queries.run(
        connection,
        "open_broadcasts",
        ids=[b.id for b in wanted],
        workspace_ids=[b.workspace_id for b in wanted],
        campaign_ids=[b.campaign_id for b in wanted],
        versions=[b.campaign_version for b in wanted],
        node_ids=[b.node_id for b in wanted],
        step_ids=[b.step_id for b in wanted],
        schedule_times=[b.schedule_time for b in wanted],
        due_at=[b.due_at for b in wanted],
        now=now,
    )
    found = queries.rows(connection, "lock_broadcasts", ids=[b.id for b in wanted])
    return {row["id"]: row for row in found}


def claim(
    connection: Connection,
    broadcast_id: UUID,
    *,
    transport: str,
    leased_until: datetime,
    retry_until: datetime | None,
) -> bool:
    """Mark a due post as going out; False when it is not due any more."""
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
    """Try a failed post anew."""
    queries.run(connection, "reopen_broadcast", id=broadcast_id, now=now)


def settle(connection: Connection, broadcast_id: UUID, outcome: PostOutcome, now: datetime) -> None:
    """Write down what became of a post."""
    queries.run(
        connection,
        "settle_broadcast",
        id=broadcast_id,
        now=now,
        **outcome._asdict() | {"details": dict(outcome.details) if outcome.details else None},
    )


def rescue(connection: Connection, *, grace_seconds: float, now: datetime) -> int:
    """Posts whose sender died, or that were in doubt for too long; how many were put right."""
    return queries.run(connection, "rescue_broadcasts", grace_seconds=grace_seconds, now=now)


def settle_doubtful(
    connection: Connection,
    *,
    is_out: bool,
    ids: Sequence[UUID] | None,
    campaign_id: UUID | None,
    now: datetime,
) -> int:
    """An operator's word on posts in doubt; how many there were."""
    return queries.run(
        connection,
        "settle_doubtful_broadcasts",
        is_out=is_out,
        ids=None if ids is None else list(ids),
        campaign_id=campaign_id,
        now=now,
    )
