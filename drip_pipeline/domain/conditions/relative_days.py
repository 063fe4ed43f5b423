"""Values of conditions that depend on the day and on the contact's time zone: `today`,
`{days_ago: 7}`, `{days_ahead: 3}`, and dates.

comparisons.py compares; this module computes the day, and finds the values that need a time zone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from drip_pipeline.domain.conditions.comparisons import (
    Operator,
    Scalar,
    as_instant,
    day_of,
    value_test,
)
from drip_pipeline.domain.conditions.fields import NO_BOOL
from drip_pipeline.domain.conditions.time_zones import zone_of

TODAY: Final = "today"
_MOST_DAYS: Final = 36_500
_Days = Annotated[int, Field(ge=0, le=_MOST_DAYS), NO_BOOL]


class _RelativeDay(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DaysAgo(_RelativeDay):
    """The day that many days before today, in the contact's time zone."""

    days_ago: _Days = Field(description="Days before today; 0 is today.")

    def day(self, today: date) -> date:
        """Return the day."""
        return today - timedelta(days=self.days_ago)


class DaysAhead(_RelativeDay):
    """The day that many days after today, in the contact's time zone."""

    days_ahead: _Days = Field(description="Days after today; 0 is today.")

    def day(self, today: date) -> date:
        """Return the day."""
        return today + timedelta(days=self.days_ahead)


RelativeDay = DaysAgo | DaysAhead
Expected = Scalar | RelativeDay | Sequence[Scalar] | None
ZonedTest = Callable[[object, datetime, str | None], bool]
"""A predicate of a value, at a time, for a contact in a time zone."""


def zoned_test(operator: Operator, expected: Expected) -> ZonedTest:
    """Return the predicate `actual <operator> expected`, see `value_test`.

    Days are those of the contact's time zone. Raises ValueError if `expected` does not suit the
    operator.
    """
    if operator is Operator.CONTAINS and isinstance(expected, RelativeDay):
        raise ValueError("a day is compared with ==, !=, <, <=, > or >=, not with 'contains'")
    if not depends_on_day(expected):
        test = value_test(operator, _on_day(expected, date.min))
        return lambda actual, _now, _zone: test(actual)
    value_test(operator, _on_day(expected, date(2000, 1, 1)))  # raises here, not when it is used

    @lru_cache(maxsize=64)
    def test_on(today: date, zone: tzinfo) -> Callable[[object], bool]:
        test = value_test(operator, _on_day(expected, today), zone)
        if expected == TODAY and operator is Operator.EQ:
            return lambda actual: actual == TODAY or test(actual)
        return test

    def holds(actual: object, now: datetime, zone_name: str | None) -> bool:
        zone = zone_of(zone_name)
        return test_on(day_of(now, zone), zone)(actual)

    return holds


def depends_on_day(expected: Expected) -> bool:
    """Return whether a comparison with this value needs the time zone: a day, or a time, which is
    compared by day with values that have no time of day."""
    if isinstance(expected, (list, tuple)):
        return any(depends_on_day(member) for member in expected)
    if isinstance(expected, str):
        return expected == TODAY or as_instant(expected) is not None
    return isinstance(expected, RelativeDay)


def _on_day(expected: Expected, today: date) -> Scalar | date | list[Scalar] | None:
    if isinstance(expected, RelativeDay):
        return expected.day(today)
    if isinstance(expected, (list, tuple)):
        return [today.isoformat() if member == TODAY else member for member in expected]
    if expected == TODAY:
        return today
    assert not isinstance(expected, Sequence) or isinstance(expected, str)
    return expected
