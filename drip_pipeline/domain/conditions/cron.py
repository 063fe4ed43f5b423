"""When a schedule is due: occurrences of a cron expression in a time zone, over summer time too.

As cron daemons do it: a time of day that the clock jumps over happens just as much later, one that
it shows twice happens the first time only; expressions for every hour (`*` or `*/n`) follow the
clock, hour by hour. croniter works on times without a zone here; what the zone does is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from croniter import CroniterBadDateError, croniter  # type: ignore[import-untyped]

from drip_pipeline.domain.conditions.local_time import zone_of

_HOUR_FIELD: Final = 1
# No zone has ever put its clock back or forward by more, summer time or a new standard time.
_LONGEST_JUMP: Final = timedelta(hours=26)
_NEAR: Final = timedelta(hours=3)
_ANY_DAY: Final = datetime.fromisoformat("2026-01-01")


def latest_occurrence(
    cron: str, timezone: str | None, *, after: datetime, until: datetime
) -> datetime | None:
    """The last occurrence after `after` and not after `until`, in UTC; None without one. However
    many there are in between, it costs the same.
    """
    zone = zone_of(timezone)
    local = until.astimezone(zone).replace(tzinfo=None)
    # Earlier local times are earlier in UTC too, but for those around a change of the clock.
    changes = (until - _NEAR).astimezone(zone).utcoffset() != (until + _NEAR).astimezone(
        zone
    ).utcoffset()
    near = _NEAR if changes else timedelta(0)
    found: datetime | None = None
    for time in _backwards(cron, local + near + timedelta(microseconds=1)):
        if found is not None and local - time > near:
            break
        if time.replace(tzinfo=UTC) < after.replace(tzinfo=UTC) - _LONGEST_JUMP:
            break
        for moment in _moments(cron, time, zone):
            if after < moment <= until and (found is None or moment > found):
                found = moment
    return found


def has_occurrences(cron: str) -> bool:
    """Whether the expression ever happens; the 30th of February does not."""
    return next(_backwards(cron, _ANY_DAY), None) is not None


def _backwards(cron: str, start: datetime) -> Iterator[datetime]:
    times = croniter(cron, start)
    try:
        while True:
            yield times.get_prev(datetime)
    except CroniterBadDateError:
        return


def _moments(cron: str, time: datetime, zone: tzinfo) -> Iterator[datetime]:
    """When the clock in this zone shows this time: once, twice or, jumped over, as if it had not
    been.
    """
    follows_the_clock = cron.split()[_HOUR_FIELD].startswith("*")
    first = time.replace(tzinfo=zone, fold=0).astimezone(UTC)
    exists = first.astimezone(zone).replace(tzinfo=None) == time
    if exists or not follows_the_clock:
        yield first
    if exists and follows_the_clock:
        second = time.replace(tzinfo=zone, fold=1).astimezone(UTC)
        if second != first:
            yield second
