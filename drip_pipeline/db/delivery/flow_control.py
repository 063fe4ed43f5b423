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
    outlet: str,
    *,
    channel: str,
    channel_id: UUID | None,
    on_unknown: str,
    now: datetime,
) -> None:
    """Make the row of a way out, or bring its configuration up to date."""
    queries.run(
        connection,
        "ensure_outlet",
        outlet=outlet,
        channel=channel,
        channel_id=channel_id,
        on_unknown=on_unknown,
        now=now,
    )


def obstacles(
    connection: Connection, outlets: Sequence[str], now: datetime
) -> dict[str, dict[str, Any]]:
    """By outlet, what stands in its way (is_disabled, closed_until, is_open, is_watched,
    last_error); those that are healthy are not in it."""
    found = queries.rows(connection, "flow_of_outlets", outlets=outlets, now=now)
    return {row["outlet"]: row for row in found}


def take(
    connection: Connection,
    outlet: str,
    wanted: int,
    *,
    per_second: float | None,
    per_hour: float | None,
    concurrency: int | None,
    probe_seconds: float,
    now: datetime,
) -> Permits:
    """Permits for up to `wanted` messages. The outlet's row stays locked until the transaction
    ends; what is not used must be given back in it."""
    if concurrency is not None:
        queries.run(connection, "lock_outlet", outlet=outlet)
    ((granted, state, retry_at),) = queries.tuples(
        connection,
        "take_permits",
        outlet=outlet,
        wanted=wanted,
        per_second=per_second,
        per_hour=per_hour,
        concurrency=concurrency,
        probe_seconds=probe_seconds,
        now=now,
    )
    return Permits(granted, state, retry_at)


def give_back(connection: Connection, outlet: str, unused: int) -> None:
    """Permits that were not used."""
    queries.run(connection, "give_back_permits", outlet=outlet, unused=unused)


def note(
    connection: Connection,
    outlet: str,
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
        outlet=outlet,
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


def disable(connection: Connection, outlet: str, error: str, now: datetime) -> None:
    """Call this outlet no more until it is reset."""
    queries.run(connection, "disable_outlet", outlet=outlet, error=error, now=now)


def reset(connection: Connection, outlet: str, now: datetime) -> bool:
    """Close the breaker, lift pause and disablement; False when there is no such outlet."""
    return queries.run(connection, "reset_outlet", outlet=outlet, now=now) > 0


def all_outlets(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """Every outlet that was ever used, with its state."""
    return queries.rows(connection, "all_outlets", now=now)
