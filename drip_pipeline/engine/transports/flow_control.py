"""Flow control of one way out: asking for permits, telling the breaker what happened. The rules
themselves are statements of sql/queries/flow.sql, since all processes share one provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.channels.protocol import DeliveryResult, Outcome
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.db.delivery.flow_control import Permits
from drip_pipeline.engine.transports.transport import Transport

BREAKER_LEAST: Final = 20
"""So many messages in a minute before a share of failures means anything."""
PROBE_SECONDS: Final = 120.0
"""How long a probe may take before another one is let through."""
PAUSE_SECONDS: Final = 60.0
"""How long to wait when a provider asks to and does not say how long."""
LONGEST_PAUSE_SECONDS: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class FlowNews:
    """What a group has shown: the provider's words when it fails, and whether the way out may be
    closed now, so that whoever planned with it must look again."""

    fault: str | None
    may_be_closed: bool


def ensure(connection: Connection, transport: Transport, now: datetime) -> None:
    """Make sure that the way out has its row."""
    flow_db.ensure(
        connection,
        transport.key,
        channel=transport.category,
        channel_id=transport.channel_id,
        on_unknown=transport.on_unknown,
        now=now,
    )


def take(connection: Connection, transport: Transport, wanted: int, now: datetime) -> Permits:
    """Permits for up to `wanted` messages; what is not used must be given back before the
    transaction ends."""
    return flow_db.take(
        connection,
        transport.key,
        wanted,
        per_second=transport.config.per_second,
        per_hour=transport.per_hour,
        concurrency=transport.config.concurrency,
        probe_seconds=PROBE_SECONDS,
        now=now,
    )


def note(
    connection: Connection,
    transport: Transport,
    results: Sequence[DeliveryResult],
    *,
    now: datetime,
    is_watched: bool,
) -> FlowNews:
    """Tell the breaker about a group.

    A healthy transport (`is_watched` off) with nothing but successes writes nothing: the row is not
    for counting messages, and every group of every process would queue for it.
    """
    pause = _pause_seconds(results)
    failures = [r for r in results if _is_failure(r)]
    successes = sum(not r.is_provider_fault for r in results)
    gone = next((r for r in results if r.is_gone), None)
    error = failures[-1].error if failures else None
    if failures or pause is not None or (is_watched and successes):
        flow_db.note(
            connection,
            transport.key,
            successes=successes,
            failures=len(failures),
            trailing_failures=_trailing(results),
            error=error,
            pause_until=None if pause is None else now + timedelta(seconds=pause),
            breaker_failures=transport.config.breaker_failures,
            breaker_failure_pct=transport.config.breaker_failure_pct,
            breaker_least=BREAKER_LEAST,
            open_seconds=transport.config.breaker_open_seconds,
            now=now,
        )
    if gone is not None:
        flow_db.disable(connection, transport.key, gone.error or "gone", now)
        error = gone.error
    return FlowNews(error, error is not None or pause is not None)


def _is_failure(result: DeliveryResult) -> bool:
    """Being asked to wait is no failure of the provider."""
    return result.is_provider_fault and result.outcome is not Outcome.THROTTLED


def _trailing(results: Sequence[DeliveryResult]) -> int:
    count = 0
    for result in reversed(results):
        if not _is_failure(result):
            break
        count += 1
    return count


def _pause_seconds(results: Sequence[DeliveryResult]) -> float | None:
    asked = [
        PAUSE_SECONDS if r.retry_after_seconds is None else r.retry_after_seconds
        for r in results
        if r.is_provider_fault and r.outcome is Outcome.THROTTLED
    ]
    return min(max(asked), LONGEST_PAUSE_SECONDS) if asked else None
