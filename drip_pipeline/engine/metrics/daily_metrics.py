"""Daily figures of messages, by day of sending in the workspace's time zone: counted a day at a
time, always whole, from outcomes and log. So a backfill, the refresh after late events and the
count of every minute cannot differ, and repeating one changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from time import perf_counter
from typing import Any, Final, Literal
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.metrics import daily_metrics as metrics_db
from drip_pipeline.engine.progress import Progress

Breakdown = Literal["version", "node", "variant", "day"]
DAYS_AT_ONCE: Final = 4
"""Days that are counted side by side: each is a query of its own, on a processor of its own."""
LATE_AFTER: Final = timedelta(hours=1)
RATES: Final = {
    "delivery_rate": "delivered",
    "open_rate": "opened",
    "click_rate": "clicked",
    "reply_rate": "replied",
    "conversion_rate": "converted",
}
"""Rates of messages, in percent of those sent, and the figure they come from."""


@dataclass(frozen=True, slots=True)
class CountedDay:
    """A day that was counted: rows written and messages sent that day."""

    day: date
    rows: int
    sent: int
    duration_ms: int


def aggregate_days(
    database: Database, days: Iterable[date], *, progress: Progress | None = None
) -> list[CountedDay]:
    """Count these days anew, a few at a time, each in a transaction of its own, and show the totals
    on campaigns and steps. Days whose log is archived keep what they say of messages that did not
    go out. Raises what made a day fail; days that were being counted meanwhile are counted.
    """
    wanted = sorted(set(days))
    counted: list[CountedDay] = []
    changed: set[UUID] = set()
    pool = ThreadPoolExecutor(DAYS_AT_ONCE, thread_name_prefix="count-day")
    try:
        for day, campaigns in pool.map(lambda day: _count(database, day), wanted):
            counted.append(day)
            changed |= campaigns
            if progress:
                progress(f"counted {day.day} ({len(counted):,} of {len(wanted):,} days)")
    finally:
        pool.shutdown(cancel_futures=True)
    if changed:
        with database.transaction() as connection:
            metrics_db.show(connection, sorted(changed))
    return counted


def _count(database: Database, day: date) -> tuple[CountedDay, set[UUID]]:
    """One day, and the campaigns that have or had figures in it."""
    started = perf_counter()
    with database.transaction() as connection:
        metrics_db.lock_day(connection, day)
        held = metrics_db.held_figures(connection, day)
        changed = set(metrics_db.clear_day(connection, day))
        rows = metrics_db.count_day(connection, day)
        # Looked at last: counting holds the log, so nothing of it can have gone since.
        if held and metrics_db.is_archived(connection, day):
            metrics_db.keep_held(connection, day, held)
    changed.update(campaign_id for campaign_id, _ in rows)
    duration_ms = round(1_000 * (perf_counter() - started))
    return CountedDay(day, len(rows), sum(sent for _, sent in rows), duration_ms), changed


def days_to_refresh(database: Database, *, now: datetime) -> list[date]:
    """The days that have to be counted: those that late events marked, and all from the day before
    the last one counted until today (where it began first), since messages may have gone out then
    after it was counted.
    """
    with database.transaction(is_read_only=True) as connection:
        today = metrics_db.latest_date(connection, now)
        marked = metrics_db.marked_days(connection)
        last = metrics_db.last_counted_day(connection, today)
        first = (
            last - timedelta(days=1)
            if last is not None
            else metrics_db.first_sending_day(connection)
        )
    return sorted({*marked, *days_between(first or today, today)})


@dataclass(frozen=True, slots=True)
class WaitingDay:
    """A day that is to be counted anew, and since when (by the database's own clock)."""

    day: date
    marked_at: datetime
    is_late: bool


def days_waiting(database: Database, *, now: datetime) -> list[WaitingDay]:
    """The days that wait to be counted. Late is who waits for more than an hour."""
    with database.transaction(is_read_only=True) as connection:
        marked = metrics_db.marked_since(connection)
    return [WaitingDay(day, since, now - since > LATE_AFTER) for day, since in marked]


def refresh_stale_days(
    database: Database, *, now: datetime, progress: Progress | None = None
) -> list[CountedDay]:
    """Count every day whose figures may have changed."""
    return aggregate_days(database, days_to_refresh(database, now=now), progress=progress)


def days_between(first: date, last: date) -> list[date]:
    """All days from the first to the last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def campaign_summary(
    database: Database,
    *,
    campaign_id: UUID | None = None,
    by: Collection[Breakdown] = (),
    first_day: date | None = None,
    last_day: date | None = None,
) -> list[dict[str, Any]]:
    """The counted figures per campaign, or of one, with the rates in percent of messages sent, two
    places, None where nothing was sent. `by` breaks them down further.
    """
    with database.transaction(is_read_only=True) as connection:
        rows = metrics_db.figures(
            connection,
            campaign_id=campaign_id,
            first_day=first_day,
            last_day=last_day,
            by_version="version" in by,
            by_node="node" in by,
            by_variant="variant" in by,
            by_day="day" in by,
        )
    return [_with_rates({name: v for name, v in row.items() if v is not None}) for row in rows]


def _percent(part: int, whole: int) -> float:
    share = Decimal(100 * part) / Decimal(whole)
    return float(share.quantize(Decimal("0.01"), ROUND_HALF_UP))


def _with_rates(row: dict[str, Any]) -> dict[str, Any]:
    sent = row["sent"]
    return row | {
        name: _percent(row[figure], sent) if sent else None for name, figure in RATES.items()
    }
