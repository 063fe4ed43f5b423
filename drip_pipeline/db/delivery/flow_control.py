"""Flow control in the database: permits, breakers and their states, shared by all processes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class Permits(NamedTuple):
    """How many messages may go out now. `state` is the breaker's (closed, half_open, open, probing)
    or `paused`, `disabled`; with none granted, `retry_at` says when to ask again (None: never by
    itself)."""

    granted: int
    state: str
    retry_at: datetime | None


def ensure(
    connection: Connection,
    transport: str,
    *,
    channel: str,
    channel_id: UUID | None,
    on_unknown: str,
    now: datetime,
) -> None:
    """Make the row of a way out, or bring its configuration up to date."""
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
) -> dict[str, dict[str, Any]]:
    """By transport, what stands in its way (is_disabled, closed_until, is_open, is_watched,
    last_error); those that are healthy are not in it."""
    found = queries.rows(connection, "flow_of_transports", transports=transports, now=now)
    return {row["transport"]: row for row in found}


def take(
    connection: Connection,
    transport: str,
    wanted: int,
    *,
    per_second: float | None,
    per_hour: float | None,
    concurrency: int | None,
    probe_seconds: float,
    now: datetime,
) -> Permits:
    """Permits for up to `wanted` messages. The transport's row stays locked until the transaction
    ends; what is not used must be given back in it."""
    if concurrency is not None:
        queries.run(connection, "lock_transport", transport=transport)
    ((granted, state, retry_at),) = queries.tuples(
        connection,
        "take_permits",
        transport=transport,
        wanted=wanted,
        per_second=per_second,
        per_hour=per_hour,
        concurrency=concurrency,
        probe_seconds=probe_seconds,
        now=now,
    )
    return Permits(granted, state, retry_at)


def give_back(connection: Connection, transport: str, unused: int) -> None:
    """Permits that were not used."""
    queries.run(connection, "give_back_permits", transport=transport, unused=unused)


def note(
    connection: Connection,
    transport: str,
    *,
    successes: int,
    failures: int,
    trailing_failures: int,
    error: str | None,
    pause_until: datetime | None,
    breaker_failures: int,
    breaker_failure_pct: float,
    breaker_least: int,
    open_seconds: float,
    now: datetime,
) -> bool:
    """Tell the breaker what became of a group; whether it opened by that. `trailing_failures` are
    those after the group's last success."""
    found = queries.tuples(
        connection,
        "note_results",
        transport=transport,
        successes=successes,
        failures=failures,
        trailing_failures=trailing_failures,
        error=error,
        pause_until=pause_until,
        breaker_failures=breaker_failures,
        breaker_failure_pct=breaker_failure_pct,
        breaker_least=breaker_least,
        open_seconds=open_seconds,
        now=now,
    )
    return bool(found and found[0][0])


def disable(connection: Connection, transport: str, error: str, now: datetime) -> None:
    """Call this transport no more until it is reset."""
    queries.run(connection, "disable_transport", transport=transport, error=error, now=now)


def reset(connection: Connection, transport: str, now: datetime) -> bool:
    """Close the breaker, lift pause and disablement; False when there is no such transport."""
    return queries.run(connection, "reset_transport", transport=transport, now=now) > 0


def all_transports(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """Every transport that was ever used, with its state."""
    return queries.rows(connection, "all_transports", now=now)
