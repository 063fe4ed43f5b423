"""Flow control of a transport: rate limits and circuit breaker.

All processes share one provider, so the rules are SQL statements (sql/queries/flow.sql).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.channels.protocol import DeliveryResult, Outcome
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.db.delivery.flow_control import BatchResults, BreakerRules, Limits, Permits
from drip_pipeline.engine.transports.transport import Transport

BREAKER_LEAST: Final = 20
"""Attempts within a minute below which the failure percentage is not evaluated."""
PROBE_SECONDS: Final = 120.0
"""How long a probe may take before another one is allowed."""
PAUSE_SECONDS: Final = 60.0
"""How long to wait when a provider asks for a pause of unspecified length."""
LONGEST_PAUSE_SECONDS: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class FlowNews:
    """What a batch showed: the provider's error, and whether the transport may be closed now, so
    that the dispatch plan must be read again."""

    fault: str | None
    may_be_closed: bool


def ensure(connection: Connection, transport: Transport, now: datetime) -> None:
    """Create or update the row of a transport."""
    flow_db.ensure(
        connection,
        transport.key,
        channel=transport.category,
        channel_id=transport.channel_id,
        on_unknown=transport.on_unknown,
        now=now,
    )


def take(connection: Connection, transport: Transport, requested: int, now: datetime) -> Permits:
    """Take permits for up to `requested` messages; unused ones must be given back before the
    transaction ends."""
    config = transport.config
    limits = Limits(config.per_second, transport.per_hour, config.concurrency, PROBE_SECONDS)
    return flow_db.take(connection, transport.key, requested, limits, now)


def note(
    connection: Connection,
    transport: Transport,
    results: Sequence[DeliveryResult],
    *,
    now: datetime,
    is_watched: bool,
) -> FlowNews:
    """Report the results of a batch to the breaker.

    A healthy transport (`is_watched` off) with only successes writes nothing: the row does not
    count messages, and every batch of every process would queue for its lock.
    """
    pause = _pause_seconds(results)
    failures = [r for r in results if _is_failure(r)]
    successes = sum(not r.is_provider_fault for r in results)
    gone = next((r for r in results if r.is_gone), None)
    error = failures[-1].error if failures else None
    if failures or pause is not None or (is_watched and successes):
        pause_until = None if pause is None else now + timedelta(seconds=pause)
        counts = BatchResults(successes, len(failures), _trailing(results), error, pause_until)
        config = transport.config
        breaker = BreakerRules(
            config.breaker_failures,
            config.breaker_failure_pct,
            BREAKER_LEAST,
            config.breaker_open_seconds,
        )
        flow_db.note(connection, transport.key, counts, breaker, now)
    if gone is not None:
        flow_db.disable(connection, transport.key, gone.error or "gone", now)
        error = gone.error
    return FlowNews(error, error is not None or pause is not None)


def _is_failure(result: DeliveryResult) -> bool:
    """Whether the provider failed; throttling is not a failure."""
    return result.is_provider_fault and result.outcome is not Outcome.THROTTLED


def _trailing(results: Sequence[DeliveryResult]) -> int:
    count = 0
    for result in reversed(results):
        if not _is_failure(result):
            break
        count += 1
    return count


def _pause_seconds(results: Sequence[DeliveryResult]) -> float | None:
    pauses = [
        PAUSE_SECONDS if r.retry_after_seconds is None else r.retry_after_seconds
        for r in results
        if r.is_provider_fault and r.outcome is Outcome.THROTTLED
    ]
    return min(max(pauses), LONGEST_PAUSE_SECONDS) if pauses else None
