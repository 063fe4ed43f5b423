"""Occurrences of a cron expression in a time zone, including changes to and from summer time.

As in cron daemons: a time of day skipped by the clock occurs later by the length of the skip, and a
time of day that repeats occurs the first time only. Expressions for every hour (`*` or `*/n`)
follow the clock, hour by hour. croniter computes times without a zone; this module applies the
zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

# cronsim was rejected: a skipped `30 2 * * *` occurs at 03:00 instead of 03:30, a skipped
# `*/10 2 * * *` does not occur, a step in the day of month is combined with the weekday by AND
# instead of OR (`0 9 */2 * 1`), and ranges that wrap (`fri-mon`, `22-2`) and `?` are invalid.
from croniter import CroniterBadDateError, croniter  # type: ignore[import-untyped]

from drip_pipeline.domain.conditions.time_zones import zone_of

_HOUR_FIELD: Final = 1
# No zone has ever changed its clock by more, for summer time or for a new standard time.
_LONGEST_JUMP: Final = timedelta(hours=26)
_NEAR: Final = timedelta(hours=3)
_ANY_DAY: Final = datetime.fromisoformat("2026-01-01")


def latest_occurrence(
    cron: str, timezone: str | None, *, after: datetime, until: datetime
) -> datetime | None:
    """Return the last occurrence after `after` and not after `until`, in UTC; None without one.

    The cost does not depend on the number of occurrences in between.
    """
    zone = zone_of(timezone)
    local = until.astimezone(zone).replace(tzinfo=None)
    # Earlier local times are earlier in UTC, except around a change of the clock.
    changes = (until - _NEAR).astimezone(zone).utcoffset() != (until + _NEAR).astimezone(
        zone
    ).utcoffset()
    near = _NEAR if changes else timedelta(0)
    latest: datetime | None = None
    for time in _local_times_before(cron, local + near + timedelta(microseconds=1)):
        if latest is not None and local - time > near:
            break
        if time.replace(tzinfo=UTC) < after.replace(tzinfo=UTC) - _LONGEST_JUMP:
            break
        for instant in _instants(cron, time, zone):
            if after < instant <= until and (latest is None or instant > latest):
                latest = instant
    return latest


def next_occurrence(cron: str, timezone: str | None, *, after: datetime) -> datetime | None:
    """Return the first occurrence after `after`, in UTC; None without one."""
    zone = zone_of(timezone)
    local = after.astimezone(zone).replace(tzinfo=None)
    earliest: datetime | None = None
    found_at = local
    times = croniter(cron, local - _LONGEST_JUMP)
    try:
        while earliest is None or found_at - local < _LONGEST_JUMP:
            time = times.get_next(datetime)
            # Around a change of the clock a later local time may be an earlier instant.
            if earliest is not None and time - found_at > _NEAR:
                break
            for instant in _instants(cron, time, zone):
                if instant > after and (earliest is None or instant < earliest):
                    earliest, found_at = instant, time
    except CroniterBadDateError:
        pass
    return earliest


def has_occurrences(cron: str) -> bool:
    """Return whether the expression ever occurs; the 30th of February does not."""
    return next(_local_times_before(cron, _ANY_DAY), None) is not None


def _local_times_before(cron: str, start: datetime) -> Iterator[datetime]:
    times = croniter(cron, start)
    try:
        while True:
            yield times.get_prev(datetime)
    except CroniterBadDateError:
        return


def _instants(cron: str, time: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Yield the UTC instants of a local time: one, two, or for a skipped time the shifted one."""
    follows_the_clock = cron.split()[_HOUR_FIELD].startswith("*")
    first = time.replace(tzinfo=zone, fold=0).astimezone(UTC)
    exists = first.astimezone(zone).replace(tzinfo=None) == time
    if exists or not follows_the_clock:
        yield first
    if exists and follows_the_clock:
        second = time.replace(tzinfo=zone, fold=1).astimezone(UTC)
        if second != first:
            yield second
