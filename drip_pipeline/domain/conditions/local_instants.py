"""Local times as instants: the first instant at which a clock in a time zone shows a time or later.

One rule covers every change of a clock: a time that the clock skips is the first valid instant
after the gap, and a time that it shows twice is the first of both. Python's `fold` alone does not
compute the first, and PostgreSQL's `AT TIME ZONE` computes neither.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_MONTHS_A_YEAR: Final = 12


def first_valid_instant(local: datetime, zone: tzinfo) -> datetime:
    """Return the first instant, in UTC, at which the local time is `local` (naive) or later."""
    late = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if late.astimezone(zone).replace(tzinfo=None) == local:
        return late
    # The clock skips this time: its offset changes between the two readings of it.
    early = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = early.astimezone(zone).utcoffset()
    low, high = (early - _EPOCH) // _SECOND, (late - _EPOCH) // _SECOND + 1
    while high - low > 1:
        middle = (low + high) // 2
        if (_EPOCH + middle * _SECOND).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return _EPOCH + high * _SECOND


def next_time_of_day(
    after: datetime, at: time, zone: tzinfo, days: frozenset[int] = frozenset(range(7))
) -> datetime:
    """Return the next instant after `after` at which a clock in the zone shows `at`, on one of
    `days` (0 is Monday). A time that occurs twice on a day counts once, the first time."""
    day = after.astimezone(zone).date() - _DAY
    while True:
        if day.weekday() in days:
            instant = first_valid_instant(datetime.combine(day, at), zone)
            if instant > after:
                return instant
        day += _DAY


def add_months(start: datetime, months: int, zone: tzinfo) -> datetime:
    """Return `start` moved by calendar months in the zone, in UTC: the same day of the month, or
    the last one of a shorter month, at the same local time."""
    local = start.astimezone(zone)
    number = local.year * _MONTHS_A_YEAR + local.month - 1 + months
    year, month = divmod(number, _MONTHS_A_YEAR)
    day = min(local.day, monthrange(year, month + 1)[1])
    moved = datetime.combine(date(year, month + 1, day), local.time())
    return first_valid_instant(moved, zone)
