"""What a round relies on: transactions that are tried again, clocks that stand still or not."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic, sleep

import pytest

from drip_pipeline.engine.delivery import delivery_batch as rounds
from drip_pipeline.engine.delivery.delivery_batch import retry_with_backoff
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.errors import Conflict, DatabaseUnavailable, DataRejected
from tests.engine.factories import NOW


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(rounds, "sleep", taken.append)
    return taken


@pytest.mark.parametrize("error", [Conflict("deadlock"), DatabaseUnavailable("gone")])
def test_what_may_pass_is_tried_again_with_growing_pauses(naps: list[float], error: Exception):
    left = [error, error]

    def act() -> str:
        if left:
            raise left.pop()
        return "done"

    assert retry_with_backoff(act) == "done"
    assert naps == [0.1, 0.2]


def test_what_does_not_pass_is_raised_at_the_end(naps: list[float]):
    def act() -> None:
        raise Conflict("deadlock")

    with pytest.raises(Conflict):
        retry_with_backoff(act)
    assert len(naps) == 5


def test_what_cannot_pass_is_raised_at_once(naps: list[float]):
    def act() -> None:
        raise DataRejected("NUL byte")

    with pytest.raises(DataRejected):
        retry_with_backoff(act)
    assert naps == []


def test_a_clock_goes_on_as_real_time_does_or_stands_still():
    moving, stopped = ElapsedClock(NOW), ElapsedClock(NOW, is_stopped=True)
    began = monotonic()
    sleep(0.02)
    passed = timedelta(seconds=monotonic() - began)
    assert timedelta(seconds=0.02) <= moving.now() - NOW <= passed + timedelta(seconds=1)
    assert moving.start == stopped.now() == NOW
