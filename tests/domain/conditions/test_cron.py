"""Schedules follow the clock of their zone, also at changes of summer time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drip_pipeline.domain.conditions.cron import (
    has_occurrences,
    latest_occurrence,
    next_occurrence,
)
from drip_pipeline.domain.conditions.time_zones import zone_of

BERLIN = "Europe/Berlin"
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def occurrences(cron: str, zone: str, first: str, last: str) -> list[str]:
    """Return all occurrences, occurred backwards from the last one."""
    occurred: list[str] = []
    until = utc(last)
    while (at := latest_occurrence(cron, zone, after=utc(first), until=until)) is not None:
        occurred.insert(0, f"{at:%d %H:%M}")
        until = at - timedelta(microseconds=1)
    return occurred


def test_a_daily_time_keeps_its_hour_when_summer_begins_and_ends():
    assert occurrences("0 9 * * *", BERLIN, "2026-03-28", "2026-03-31") == [
        "28 08:00", "29 07:00", "30 07:00",
    ]  # fmt: skip


def test_a_skipped_time_occurs_later_by_the_length_of_the_skip():
    # 02:30 does not exist on 29 March; 03:30 summer time is 01:30 UTC.
    assert occurrences("30 2 * * *", BERLIN, "2026-03-28", "2026-03-31") == [
        "28 01:30", "29 01:30", "30 00:30",
    ]  # fmt: skip


def test_a_repeated_time_occurs_once():
    assert occurrences("30 2 * * *", BERLIN, "2026-10-24", "2026-10-27") == [
        "24 00:30", "25 00:30", "26 01:30",
    ]  # fmt: skip


def test_an_hourly_schedule_occurs_every_hour():
    for day in ("2026-03-29", "2026-10-25"):
        occurred = occurrences("0 * * * *", BERLIN, f"{day}T00:00", f"{day}T05:00")
        assert [one[3:] for one in occurred] == ["01:00", "02:00", "03:00", "04:00", "05:00"]


def test_after_is_exclusive_and_until_inclusive():
    nine = utc("2026-03-02T09:00")
    assert latest_occurrence("0 9 * * *", None, after=nine - MINUTE, until=nine) == nine
    assert latest_occurrence("0 9 * * *", None, after=nine, until=nine + 60 * MINUTE) is None


def test_a_year_of_missed_occurrences_gives_the_last_one():
    until = utc("2027-03-02T09:00:30")
    occurred = latest_occurrence("* * * * *", BERLIN, after=utc("2026-03-02"), until=until)
    assert occurred == utc("2027-03-02T09:00")


def test_an_expression_without_occurrences_is_recognized():
    assert not has_occurrences("0 0 30 2 *")
    assert has_occurrences("0 0 29 2 *")
    for until in ("2026-03-02", "2028-03-01"):
        occurred = latest_occurrence("0 0 30 2 *", None, after=utc("2020-01-01"), until=utc(until))
        assert occurred is None


@given(
    st.integers(0, 23), st.integers(0, 59),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - made aware below
)  # fmt: skip
def test_a_daily_time_occurs_once_on_every_local_day(hour, minute, zone, day):
    cron = f"{minute} {hour} * * *"
    start = day.replace(tzinfo=UTC)
    occurred = []
    until = start + timedelta(days=5)
    while (at := latest_occurrence(cron, zone, after=start, until=until)) is not None:
        occurred.append(at)
        until = at - timedelta(microseconds=1)
    days = [at.astimezone(zone_of(zone)).date() for at in occurred]
    assert len(set(days)) == len(days)
    assert len(days) in (4, 5, 6)
    assert all(one - other == timedelta(days=1) for one, other in pairwise(days))


@pytest.mark.parametrize("zone", [None, "nowhere"])
def test_without_a_zone_it_is_utc(zone):
    nine = utc("2026-03-02T09:00")
    assert latest_occurrence("0 9 * * *", zone, after=nine - MINUTE, until=nine) == nine


@given(
    st.sampled_from(["30 2 * * *", "*/20 * * * *", "0 9 * * mon", "0 3 1 * *", "15 2-3 * * sun"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC"]),
    # Around the changes of the clock of 2026, and on other days.
    st.sampled_from(["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-25", "2026-11-01"]),
    st.integers(min_value=-3 * 24 * 60, max_value=3 * 24 * 60),
)
def test_the_next_occurrence_is_the_first_that_follows(cron, zone, day, minutes):
    after = utc(day) + minutes * MINUTE
    upcoming = next_occurrence(cron, zone, after=after)
    assert upcoming is not None
    assert latest_occurrence(cron, zone, after=after, until=upcoming) == upcoming
    before = upcoming - timedelta(microseconds=1)
    assert latest_occurrence(cron, zone, after=after, until=before) is None


def test_what_never_occurs_has_no_next_occurrence():
    assert next_occurrence("0 0 30 2 *", BERLIN, after=utc("2026-03-01")) is None
