"""Local wishes as instants, around every change of a clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drip_pipeline.domain.conditions.local_instants import (
    add_months,
    first_valid_instant,
    next_time_of_day,
)
from drip_pipeline.domain.conditions.time_zones import zone_of

ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "Asia/Tokyo",
    "America/Havana",
    "Pacific/Apia",
]
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("zone", "wish", "instant"),
    [
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29T01:00Z"),
        ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25T00:30Z"),
        ("Europe/Berlin", "2027-03-28 02:00", "2027-03-28T01:00Z"),
        ("America/New_York", "2026-03-08 02:30", "2026-03-08T07:00Z"),
        ("America/New_York", "2026-11-01 01:30", "2026-11-01T05:30Z"),
        ("America/New_York", "2027-03-14 02:59", "2027-03-14T07:00Z"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03T15:30Z"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04T14:45Z"),
        ("Asia/Kathmandu", "2026-10-25 09:00", "2026-10-25T03:15Z"),
        ("Africa/Casablanca", "2026-02-15 02:30", "2026-02-15T01:30Z"),
        ("Africa/Casablanca", "2026-03-22 02:30", "2026-03-22T02:00Z"),
    ],
)
def test_a_local_wish_is_its_first_valid_instant(zone: str, wish: str, instant: str) -> None:
    found = first_valid_instant(datetime.fromisoformat(wish), zone_of(zone))
    assert found == datetime.fromisoformat(instant)


def searched(wish: datetime, zone: str) -> datetime:
    """The first minute whose local time is the wish or later, by trying every minute."""
    minute = wish.replace(tzinfo=UTC) - timedelta(hours=27)
    while minute.astimezone(zone_of(zone)).replace(tzinfo=None) < wish:
        minute += MINUTE
    return minute


@given(
    st.sampled_from(ZONES),
    st.one_of(
        st.dates(date(2026, 1, 1), date(2027, 12, 31)),
        st.sampled_from([date(2026, 3, 8), date(2026, 3, 29), date(2026, 10, 25)]),
    ),
    st.times(),
)
@example("Pacific/Apia", date(2011, 12, 30), time(9))
@example("America/Havana", date(2026, 3, 8), time(0, 30))
def test_a_search_of_every_minute_finds_the_same(zone: str, day: date, at: time) -> None:
    wish = datetime.combine(day, at.replace(second=0, microsecond=0))
    assert first_valid_instant(wish, zone_of(zone)) == searched(wish, zone)


@pytest.mark.parametrize(
    ("now", "zone", "days", "expected"),
    [
        ("2026-03-02T07:59Z", "Europe/Berlin", {0, 1, 2, 3, 4, 5, 6}, "2026-03-02T08:00Z"),
        ("2026-03-02T08:00Z", "Europe/Berlin", {0, 1, 2, 3, 4, 5, 6}, "2026-03-03T08:00Z"),
        ("2026-03-02T08:00Z", "Europe/Berlin", {0}, "2026-03-09T08:00Z"),
        ("2026-03-27T12:00Z", "Europe/Berlin", {0}, "2026-03-30T07:00Z"),
        ("2026-03-01T20:00Z", "Pacific/Auckland", {0}, "2026-03-01T20:00:01Z"),
    ],
)
def test_the_next_time_of_day_is_later_than_now(
    now: str, zone: str, days: set[int], expected: str
) -> None:
    after = datetime.fromisoformat(now)
    at = time(9, 0, 1) if zone == "Pacific/Auckland" else time(9)
    found = next_time_of_day(after, at, zone_of(zone), frozenset(days))
    assert found == datetime.fromisoformat(expected)


def test_a_repeated_hour_counts_once() -> None:
    berlin = zone_of("Europe/Berlin")
    first = next_time_of_day(datetime(2026, 10, 24, 12, tzinfo=UTC), time(2, 30), berlin)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert next_time_of_day(first, time(2, 30), berlin) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "months", "zone", "expected"),
    [
        ("2026-01-31T12:00Z", 1, "UTC", "2026-02-28T12:00Z"),
        ("2028-01-31T12:00Z", 1, "UTC", "2028-02-29T12:00Z"),
        ("2026-01-31T12:00Z", 3, "Europe/Berlin", "2026-04-30T11:00Z"),
        # In Tokyo it is 1 February already: one month later is 1 March.
        ("2026-01-31T20:00Z", 1, "Asia/Tokyo", "2026-02-28T20:00Z"),
        # In New York it is still 31 January.
        ("2026-02-01T02:00Z", 1, "America/New_York", "2026-03-01T02:00Z"),
        ("2026-12-31T12:00Z", 2, "UTC", "2027-02-28T12:00Z"),
        ("2026-02-28T01:30Z", 1, "Europe/Berlin", "2026-03-28T01:30Z"),
        ("2026-02-28T20:00Z", 120, "UTC", "2036-02-28T20:00Z"),
    ],
)
def test_months_are_those_of_the_calendar(
    start: str, months: int, zone: str, expected: str
) -> None:
    moved = add_months(datetime.fromisoformat(start), months, zone_of(zone))
    assert moved == datetime.fromisoformat(expected)
