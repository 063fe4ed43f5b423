"""Times that the engine cannot compute with are refused by name."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Drip

TOO_FAR = [
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "0001-01-01",
    "9000-01-01",
]


@pytest.mark.parametrize("time", TOO_FAR)
@pytest.mark.parametrize(
    "command",
    [
        ("run", "--now"),
        ("inbox", "prune", "--older-than-days", "36500", "--now"),
        ("ab", "results", "Welcome", "--as-of"),
        ("requeue", "--since"),
    ],
)
def test_a_time_near_the_limits_of_the_calendar_is_refused(
    drip: Drip, command: tuple[str, ...], time: str
):
    refused = drip(*command, time)
    assert refused.exit_code == 2
    assert "is not within the years 1900 to 8999" in " ".join(refused.stderr.split())


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_near_the_limits_of_the_calendar_is_refused(drip: Drip, day: str):
    refused = drip("metrics", "show", "Welcome", "--from", day)
    assert refused.exit_code == 2
    assert "1900 to 8999" in " ".join(refused.stderr.split())


@pytest.mark.parametrize("time", ["1900-01-01T00:00:00+14:00", "8999-12-31T23:59:59-14:00"])
def test_the_last_times_that_are_accepted_can_be_computed_with(drip: Drip, time: str):
    for command in (["run"], ["inbox", "prune", "--older-than-days", "36500"], ["alerts", "check"]):
        result = drip(*command, "--now", time)
        assert result.exit_code == 0, result.stderr
