"""Queries of deliveries with an unknown outcome: expired leases, missing answers, grace time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class UnknownDelivery(NamedTuple):
    """A locked delivery whose outcome is unknown."""

    id: UUID
    enrollment_id: UUID
    channel: str


class UnknownOutcome(NamedTuple):
    """A delivery that was handed over without an answer."""

    id: UUID
    error_code: str | None
    error: str | None
    attempt: int | None = None


class RecoveredLeases(NamedTuple):
    """Deliveries whose lease expired: now of unknown outcome, or due again."""

    unknown: int
    retried: int


class ExpiredLease(NamedTuple):
    """A delivery whose lease expired, and its contact."""

    id: UUID
    contact_id: UUID


def mark_unknown(
    connection: Connection, rows: Sequence[UnknownOutcome], grace_until: datetime | None
) -> int:
    """Mark outcomes as unknown until `grace_until`; None: until an operator decides."""
    return queries.run(
        connection,
        "mark_unknown",
        grace_until=grace_until,
        **queries.columns(UnknownOutcome, rows),
    )


def expired_leases(connection: Connection, now: datetime) -> list[ExpiredLease]:
    """Return the deliveries whose sender stopped before settling them."""
    return queries.records(connection, "expired_leases", ExpiredLease, now=now)


def recover_expired(
    connection: Connection,
    *,
    grace_seconds: float,
    now: datetime,
    ids: Sequence[UUID] | None = None,
) -> RecoveredLeases:
    """Release deliveries whose sender stopped before settling them: all, or these."""
    (recovered,) = queries.records(
        connection,
        "recover_expired_leases",
        RecoveredLeases,
        grace_seconds=grace_seconds,
        now=now,
        ids=None if ids is None else list(ids),
    )
    return recovered


def past_grace(connection: Connection, *, batch_size: int, now: datetime) -> list[UnknownDelivery]:
    """Lock deliveries of unknown outcome whose grace time has ended."""
    return queries.records(
        connection, "deliveries_past_grace", UnknownDelivery, batch_size=batch_size, now=now
    )


def lock_unknown(
    connection: Connection,
    *,
    ids: Sequence[UUID] | None,
    campaign_id: UUID | None,
    channel: str | None,
    batch_size: int,
) -> list[UnknownDelivery]:
    """Lock deliveries of unknown outcome: by id, of a campaign, or of a channel."""
    return queries.records(
        connection,
        "lock_unknown_deliveries",
        UnknownDelivery,
        ids=None if ids is None else list(ids),
        campaign_id=campaign_id,
        channel=channel,
        batch_size=batch_size,
    )
