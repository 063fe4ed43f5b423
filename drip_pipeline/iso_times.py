"""Read times and days of commands and jobs: ISO 8601, within the years that the engine can compute
with.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

EARLIEST_YEAR: Final = 1900
LATEST_YEAR: Final = 9000
"""Waits, retention periods and time zones are added to and subtracted from these times: up to a
century, which must stay within the years 1 to 9999."""


def read_time(text: str) -> datetime:
    """Return an ISO 8601 time in UTC; a time without an offset is in UTC.

    Raises ValueError with a predicate ("is not …").
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not an ISO 8601 time such as 2026-03-02T09:00:00Z") from None
    _check_year(time.year)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def read_day(text: str) -> date:
    """Return an ISO 8601 day. Raises ValueError with a predicate ("is not …")."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a date such as 2026-03-02") from None
    _check_year(day.year)
    return day


def _check_year(year: int) -> None:
    if not EARLIEST_YEAR <= year < LATEST_YEAR:
        raise ValueError(f"is not within the years {EARLIEST_YEAR} to {LATEST_YEAR - 1}")
