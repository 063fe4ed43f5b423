"""Time conditions: the hour, weekday, date or time of `now` in the contact's time zone.

An unknown time zone counts as UTC. The caller passes `now`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Final

from drip_pipeline.domain.conditions.comparisons import Operator, Scalar, value_test
from drip_pipeline.domain.conditions.time_zones import zone_of

TIME_FIELDS: Final = ("hour", "weekday", "date", "datetime")
WEEKDAYS: Final = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
_DAYS_A_WEEK: Final = 7
_HOURS_A_DAY: Final = 24

TimeTest = Callable[[datetime, str | None], bool]


def local_time_test(
    field: str, operator: Operator, expected: Scalar | Sequence[Scalar]
) -> TimeTest:
    """Return a predicate of (now, time zone name): `<field of the local time> <operator> expected`.

    `hour` is 0 to 23; `weekday` is 0 (Monday) to 6 or an English name, complete or three letters;
    `date` is an ISO date; `datetime` is an ISO time, in the contact's zone if it has none. Raises
    ValueError for any other `expected`.
    """
    if isinstance(expected, (list, tuple)):
        if operator is not Operator.IN:
            raise ValueError(f"operator {operator.value!r} compares with one value, not a list")
        tests = [local_time_test(field, Operator.EQ, value) for value in expected]
        return lambda now, zone: any(test(now, zone) for test in tests)
    if operator is Operator.IN:
        raise ValueError("operator 'in' compares with a list of values")
    if field == "datetime":
        return _datetime_test(operator, str(expected))
    if field == "date":
        test = value_test(operator, _iso_date(expected))
        return lambda now, zone: test(now.astimezone(zone_of(zone)).date())
    if field == "weekday":
        test = value_test(operator, _weekday(expected))
        return lambda now, zone: test(now.astimezone(zone_of(zone)).weekday())
    test = value_test(operator, _whole_number(expected, _HOURS_A_DAY, "an hour is 0 to 23"))
    return lambda now, zone: test(now.astimezone(zone_of(zone)).hour)


def _datetime_test(operator: Operator, expected: str) -> TimeTest:
    try:
        instant = datetime.fromisoformat(expected)
    except ValueError:
        raise ValueError(f"{expected!r} is not an ISO date and time") from None
    test = value_test(operator, _as_full_iso(instant))
    if instant.tzinfo:
        return lambda now, zone: test(now)
    return lambda now, zone: test(now.astimezone(zone_of(zone)).replace(tzinfo=UTC))


def _as_full_iso(instant: datetime) -> str:
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).isoformat()


def _iso_date(expected: object) -> str:
    try:
        return date.fromisoformat(str(expected)).isoformat()
    except ValueError:
        raise ValueError(f"{expected!r} is not an ISO date such as 2026-01-28") from None


def _weekday(expected: object) -> int:
    name = str(expected).strip().lower()
    for number, weekday in enumerate(WEEKDAYS):
        if name in (weekday, weekday[:3]):
            return number
    return _whole_number(expected, _DAYS_A_WEEK, "a weekday is 0 (Monday) to 6, or its name")


def _whole_number(expected: object, below: int, rule: str) -> int:
    text = str(expected).strip()
    if not (text.isascii() and text.isdigit() and int(text) < below):
        raise ValueError(f"{rule}, not {expected!r}")
    return int(text)
