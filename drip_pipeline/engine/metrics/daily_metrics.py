"""Daily metrics of messages, by sending day in the workspace's time zone.

A day is always computed as a whole from outcomes and log, so a backfill, the refresh after late
events and the computation of every minute cannot differ, and repeating one changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from time import perf_counter
from typing import Any, Final, Literal
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.metrics import daily_metrics as metrics_db
from drip_pipeline.engine.progress import Progress
from drip_pipeline.experiments.rates import rate_pct

BreakdownName = Literal["version", "node", "variant", "day"]
DAYS_AT_ONCE: Final = 4
"""Days computed in parallel; each is a separate query and uses its own processor."""
LATE_AFTER: Final = timedelta(hours=1)
RATES: Final = {
    "delivery_rate": "delivered",
    "open_rate": "opened",
    "click_rate": "clicked",
    "reply_rate": "replied",
    "conversion_rate": "converted",
}
"""Rates in percent of messages sent, and the count each is computed from."""


@dataclass(frozen=True, slots=True)
class CountedDay:
    """A computed day: rows written and messages sent that day."""

    day: date
    rows: int
    sent: int
    duration_ms: int


def aggregate_days(
    database: Database, days: Iterable[date], *, progress: Progress | None = None
) -> list[CountedDay]:
    """Compute these days again, a few in parallel, each in its own transaction, and write the
    totals to campaigns and steps. A day with an archived log keeps its metrics of messages that
    were not sent. Raises the error of a day that failed; days in progress at that time are
    completed.
    """
    requested = sorted(set(days))
    counted: list[CountedDay] = []
    changed: set[UUID] = set()
    pool = ThreadPoolExecutor(DAYS_AT_ONCE, thread_name_prefix="count-day")
    try:
        for day, campaigns in pool.map(lambda day: _count(database, day), requested):
            counted.append(day)
            changed |= campaigns
            if progress:
                progress(f"computed {day.day} ({len(counted):,} of {len(requested):,} days)")
    finally:
        pool.shutdown(cancel_futures=True)
    if changed:
        with database.transaction() as connection:
            metrics_db.write_totals(connection, sorted(changed))
    return counted


def _count(database: Database, day: date) -> tuple[CountedDay, set[UUID]]:
    """Compute one day; return it with the campaigns that have or had metrics in it."""
    started = perf_counter()
    with database.transaction() as connection:
        metrics_db.lock_day(connection, day)
        unsent = metrics_db.unsent_metrics(connection, day)
        changed = metrics_db.clear_day(connection, day)
        rows = metrics_db.count_day(connection, day)
        # Checked last: counting locks the log, so none of it can have been archived since.
        if unsent and metrics_db.is_archived(connection, day):
            metrics_db.restore_unsent(connection, day, unsent)
    changed.update(row.campaign_id for row in rows)
    duration_ms = round(1_000 * (perf_counter() - started))
    return CountedDay(day, len(rows), sum(row.sent for row in rows), duration_ms), changed


def days_to_refresh(database: Database, *, now: datetime) -> list[date]:
    """Return the days to compute again: days marked stale by late events, plus every day from the
    day before the last computed one until today (in the earliest time zone), because messages may
    have been sent after it was computed.
    """
    with database.transaction(is_read_only=True) as connection:
        today = metrics_db.latest_date(connection, now)
        marked = metrics_db.stale_dates(connection)
        last = metrics_db.last_counted_day(connection, today)
        first = (
            last - timedelta(days=1)
            if last is not None
            else metrics_db.first_sending_day(connection)
        )
    return sorted({*marked, *days_between(first or today, today)})


@dataclass(frozen=True, slots=True)
class WaitingDay:
    """A day to compute again, and since when, by the database's clock."""

    day: date
    marked_at: datetime
    is_late: bool


def days_waiting(database: Database, *, now: datetime) -> list[WaitingDay]:
    """Return the days that wait to be computed; a day is late after an hour."""
    with database.transaction(is_read_only=True) as connection:
        stale = metrics_db.stale_days(connection)
    return [
        WaitingDay(row.metric_date, row.marked_at, now - row.marked_at > LATE_AFTER)
        for row in stale
    ]


def refresh_stale_days(
    database: Database, *, now: datetime, progress: Progress | None = None
) -> list[CountedDay]:
    """Compute every day with metrics that may have changed."""
    return aggregate_days(database, days_to_refresh(database, now=now), progress=progress)


def days_between(first: date, last: date) -> list[date]:
    """Return all days from the first to the last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def campaign_summary(
    database: Database,
    *,
    campaign_id: UUID | None = None,
    by: Collection[BreakdownName] = (),
    first_day: date | None = None,
    last_day: date | None = None,
) -> list[dict[str, Any]]:
    """Return the metrics per campaign, or of one, with the rates in percent of messages sent, two
    places, None if nothing was sent. `by` breaks them down further.
    """
    with database.transaction(is_read_only=True) as connection:
        rows = metrics_db.campaign_metrics(
            connection,
            campaign_id=campaign_id,
            first_day=first_day,
            last_day=last_day,
            by=metrics_db.Breakdown(**dict.fromkeys(by, True)),
        )
    return [_with_rates(row) for row in rows]


def _with_rates(row: metrics_db.CampaignMetricsRow) -> dict[str, Any]:
    metrics = {name: value for name, value in row._asdict().items() if value is not None}
    for name, count in RATES.items():
        rate = rate_pct(getattr(row, count), row.sent)
        metrics[name] = None if rate is None else float(rate)
    return metrics
