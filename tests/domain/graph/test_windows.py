"""Send windows and quiet hours against a search of every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.graph.local_times import DAYS
from drip_pipeline.domain.graph.windows import (
    RECHECK,
    QuietHours,
    SendRules,
    SendWindow,
    Zones,
)

ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Asia/Tokyo", "Africa/Casablanca"]
MINUTE = timedelta(minutes=1)
times = st.times().map(lambda t: f"{t:%H:%M}")
ranges = st.fixed_dictionaries(
    {
        "days": st.lists(st.sampled_from(DAYS), min_size=1, unique=True),
        "from": times,
        "to": st.one_of(times, st.just("24:00")),
    }
)
# Any time of the year, and days around the changes of Berlin and New York.
CHANGES = [(3, 27), (10, 23), (3, 6), (10, 30)]
starts = st.one_of(
    st.integers(0, 364 * 1440).map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + n * MINUTE),
    st.tuples(st.sampled_from(CHANGES), st.integers(0, 4 * 1440)).map(
        lambda pair: datetime(2026, *pair[0], tzinfo=UTC) + pair[1] * MINUTE
    ),
)


class Minutes:
    """Every minute around an instant, with its local time: what is computed by trying."""

    def __init__(self, at: datetime, zone: str, days: int) -> None:
        self.first = at - timedelta(days=3)
        clock = zone_of(zone)
        self.local = [
            (self.first + number * MINUTE).astimezone(clock).replace(tzinfo=None)
            for number in range((days + 3) * 1440)
        ]

    def reached(self, wish: datetime) -> int:
        """The first minute that shows the wish or a later time."""
        return next((n for n, time in enumerate(self.local) if time >= wish), len(self.local))

    def inside(self, spec: dict[str, Any]) -> set[int]:
        """The minutes inside the range."""
        minutes: set[int] = set()
        day = self.local[0].replace(hour=0, minute=0) - timedelta(days=1)
        while day < self.local[-1]:
            if DAYS[day.weekday()] in spec["days"]:
                hour, minute = map(int, spec["from"].split(":"))
                start = day + timedelta(hours=hour, minutes=minute)
                hour, minute = map(int, spec["to"].split(":"))
                end = day + timedelta(hours=hour, minutes=minute)
                if end <= start:
                    end += timedelta(days=1)
                minutes |= set(range(self.reached(start), self.reached(end)))
            day += timedelta(days=1)
        return minutes


# Few examples: each tries every minute of twelve days.
@settings(max_examples=25)
@given(ranges, st.sampled_from(ZONES), starts)
def test_the_opening_of_a_window_is_its_first_open_minute(
    spec: dict[str, Any], zone: str, at: datetime
) -> None:
    minutes = Minutes(at, zone, days=9)
    now = 3 * 1440
    later = sorted(number for number in minutes.inside(spec) if number >= now)
    found = SendWindow.model_validate(spec).opening(at, zone_of(zone))
    assert found is not None
    if later:
        assert found == at + (later[0] - now) * MINUTE
    else:
        assert found > at + timedelta(days=8)


# Few examples: each tries every minute of twelve days.
@settings(max_examples=25)
@given(ranges, st.sampled_from(ZONES), starts)
def test_quiet_hours_end_at_the_first_minute_outside_of_them(
    spec: dict[str, Any], zone: str, at: datetime
) -> None:
    minutes = Minutes(at, zone, days=9)
    now = 3 * 1440
    inside = minutes.inside(spec)
    end = next((number for number in range(now, len(minutes.local)) if number not in inside), None)
    found = QuietHours.model_validate(spec).opening(at, zone_of(zone))
    if end is None:
        assert found is None
    else:
        assert found == at + (end - now) * MINUTE


# Few examples: each tries every minute of twelve days.
@settings(max_examples=25)
@given(ranges, ranges, st.sampled_from(ZONES), st.sampled_from(ZONES), starts)
def test_a_window_and_quiet_hours_are_both_open_when_a_message_is_sent(
    window: dict[str, Any], quiet: dict[str, Any], zone: str, workspace: str, at: datetime
) -> None:
    rules = SendRules(
        SendWindow.model_validate(window),
        QuietHours.model_validate({**quiet, "timezone": "workspace"}),
    )
    of_contact, of_workspace = Minutes(at, zone, days=9), Minutes(at, workspace, days=9)
    now = 3 * 1440
    opened = of_contact.inside(window) - of_workspace.inside(quiet)
    later = sorted(number for number in opened if number >= now)
    hold = rules.hold(at, Zones(zone, workspace))
    if later and later[0] == now:
        assert hold is None
        return
    assert hold is not None
    closed_by_window = now not in of_contact.inside(window)
    assert hold.rule == ("send_window" if closed_by_window else "quiet_hours")
    if later:
        assert hold.until == at + (later[0] - now) * MINUTE
    else:
        assert hold.until == at + RECHECK or hold.until > at + timedelta(days=8)


AT = datetime(2026, 3, 6, 19, tzinfo=UTC)  # a Friday, 20:00 in Berlin
BERLIN = Zones("Europe/Berlin", "UTC")


@pytest.mark.parametrize(
    ("spec", "until"),
    [
        ({"from": "09:00", "to": "20:00"}, "2026-03-07T08:00Z"),
        ({"from": "09:00", "to": "20:01"}, None),
        ({"from": "22:00", "to": "06:00"}, "2026-03-06T21:00Z"),
        ({"from": "20:00", "to": "20:00", "days": "fri"}, None),
        ({"from": "09:00", "to": "17:00", "days": ["mon", "tue"]}, "2026-03-09T08:00Z"),
        ({"from": "00:00", "to": "24:00"}, None),
        ({"from": "09:00", "to": "20:00", "timezone": "workspace"}, None),
        ({"from": "09:00", "to": "12:00", "timezone": "Asia/Tokyo"}, "2026-03-07T00:00Z"),
    ],
)
def test_a_window_holds_until_it_opens(spec: dict[str, Any], until: str | None) -> None:
    hold = SendRules(SendWindow.model_validate(spec)).hold(AT, BERLIN)
    assert (hold and hold.until) == (until and datetime.fromisoformat(until))


def test_a_message_that_would_wait_too_long_is_skipped() -> None:
    spec = {"from": "09:00", "to": "20:00", "max_delay": {"value": 13, "unit": "hours"}}
    hold = SendRules(SendWindow.model_validate(spec)).hold(AT, BERLIN)
    assert hold is not None
    assert hold.skips(AT) is None
    assert hold.skips(AT - MINUTE) == "send_window"


def test_a_message_is_skipped_at_once_where_the_rule_says_so() -> None:
    quiet = QuietHours.model_validate({"from": "19:00", "to": "08:00", "otherwise": "skip"})
    hold = SendRules(None, quiet).hold(AT, BERLIN)
    assert hold is not None
    assert hold.skips(AT) == "quiet_hours"


def test_rules_that_are_never_open_together_are_checked_again_daily() -> None:
    window = SendWindow.model_validate({"from": "09:00", "to": "17:00"})
    quiet = QuietHours.model_validate({"from": "08:00", "to": "18:00"})
    hold = SendRules(window, quiet).hold(AT, BERLIN)
    assert hold is not None
    assert (hold.rule, hold.until) == ("send_window", AT + RECHECK)


@pytest.mark.parametrize(
    ("spec", "never"),
    [
        ({"from": "00:00", "to": "24:00"}, True),
        ({"from": "08:00", "to": "08:00"}, True),
        ({"from": "00:00", "to": "24:00", "days": ["mon", "tue", "wed", "thu", "fri"]}, False),
        ({"from": "21:00", "to": "08:00"}, False),
    ],
)
def test_quiet_hours_that_never_end_are_noticed(spec: dict[str, Any], never: bool) -> None:
    assert QuietHours.model_validate(spec).never_end(AT) == never
