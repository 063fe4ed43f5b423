"""Queries of `channel_flow`: permits and breakers of transports, shared by all processes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class Limits(NamedTuple):
    """Limits of a transport; None means no limit. `probe_seconds`: how long a probe of a half-open
    breaker may take before another one is allowed."""

    per_second: float | None
    per_hour: float | None
    concurrency: int | None
    probe_seconds: float


class Permits(NamedTuple):
    """How many messages may be sent now.

    `state` is the breaker's (closed, half_open, open, probing), `paused` or `disabled`. With none
    granted, `retry_at` is when to ask again (None: not before an operator resets it).
    """

    granted: int
    state: str
    retry_at: datetime | None


class BreakerRules(NamedTuple):
    """When a breaker opens: after `failures` in a row, or at `failure_pct` of at least
    `least_attempts` attempts within a minute. `open_seconds`: for how long at first."""

    failures: int
    failure_pct: float
    least_attempts: int
    open_seconds: float


class BatchResults(NamedTuple):
    """The results of a batch for the breaker. `trailing_failures` are those after the last success;
    `pause_until` is when the provider asked to be called again."""

    successes: int
    failures: int
    trailing_failures: int
    error: str | None
    pause_until: datetime | None


class Obstacle(NamedTuple):
    """Why a transport is closed, or watched because of recent failures."""

    transport: str
    is_disabled: bool
    last_error: str | None
    closed_until: datetime | None
    is_open: bool
    is_watched: bool


class TransportState(NamedTuple):
    """A transport that was used, with its breaker and the messages in progress."""

    transport: str
    channel: str
    channel_id: UUID | None
    state: str
    disabled_at: datetime | None
    open_until: datetime | None
    paused_until: datetime | None
    consecutive_failures: int
    times_opened: int
    last_error: str | None
    last_error_at: datetime | None
    on_unknown: str
    sending: int
    unknown: int


def ensure(
    connection: Connection,
    transport: str,
    *,
    channel: str,
    channel_id: UUID | None,
    on_unknown: str,
    now: datetime,
) -> None:
    """Create the row of a transport, or update its configuration."""
    queries.run(
        connection,
        "ensure_transport",
        transport=transport,
        channel=channel,
        channel_id=channel_id,
        on_unknown=on_unknown,
        now=now,
    )


def obstacles(
    connection: Connection, transports: Sequence[str], now: datetime
) -> dict[str, Obstacle]:
    """Return the obstacles by transport; healthy transports have none."""
    rows = queries.records(
        connection, "transport_obstacles", Obstacle, transports=transports, now=now
    )
    return {obstacle.transport: obstacle for obstacle in rows}


def take(
    connection: Connection, transport: str, requested: int, limits: Limits, now: datetime
) -> Permits:
    """Take permits for up to `requested` messages.

    The transport's row stays locked until the transaction ends; unused permits must be given back
    in the same transaction.
    """
    if limits.concurrency is not None:
        queries.run(connection, "lock_transport", transport=transport)
    (permits,) = queries.records(
        connection,
        "take_permits",
        Permits,
        transport=transport,
        requested=requested,
        now=now,
        **limits._asdict(),
    )
    return permits


def give_back(connection: Connection, transport: str, unused: int) -> None:
    """Return unused permits."""
    queries.run(connection, "give_back_permits", transport=transport, unused=unused)


def note(
    connection: Connection,
    transport: str,
    results: BatchResults,
    breaker: BreakerRules,
    now: datetime,
) -> bool:
    """Count the results of a batch for the breaker; return whether it opened."""
    rows = queries.tuples(
        connection,
        "note_results",
        transport=transport,
        breaker_failures=breaker.failures,
        breaker_failure_pct=breaker.failure_pct,
        breaker_least=breaker.least_attempts,
        open_seconds=breaker.open_seconds,
        now=now,
        **results._asdict(),
    )
    return any(opened for opened, _ in rows)


def disable(connection: Connection, transport: str, error: str, now: datetime) -> None:
    """Disable a transport until it is reset."""
    queries.run(connection, "disable_transport", transport=transport, error=error, now=now)


def reset(connection: Connection, transport: str, now: datetime) -> bool:
    """Close the breaker and end pause and disablement; False when there is no such transport."""
    return queries.run(connection, "reset_transport", transport=transport, now=now) > 0


def all_transports(connection: Connection, now: datetime) -> list[TransportState]:
    """Return every transport that was ever used, with its state."""
    return queries.records(connection, "all_transports", TransportState, now=now)
