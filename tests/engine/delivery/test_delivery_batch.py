"""Retried transactions and elapsed clocks of delivery batches."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic, sleep

import pytest

from drip_pipeline.engine import conflict_retry
from drip_pipeline.engine.delivery.delivery_batch import retry_with_backoff
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.errors import Conflict, DatabaseUnavailable, DataRejected
from tests.engine.factories import NOW


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(conflict_retry, "sleep", taken.append)
    return taken


@pytest.mark.parametrize("error", [Conflict("deadlock"), DatabaseUnavailable("gone")])
def test_temporary_errors_are_retried_with_growing_pauses(naps: list[float], error: Exception):
    left = [error, error]

    def act() -> str:
        if left:
            raise left.pop()
        return "done"

    assert retry_with_backoff(act) == "done"
    assert naps == [0.1, 0.2]


def test_the_last_error_is_raised(naps: list[float]):
    def act() -> None:
        raise Conflict("deadlock")

    with pytest.raises(Conflict):
        retry_with_backoff(act)
    assert len(naps) == 5


def test_permanent_errors_are_raised_at_once(naps: list[float]):
    def act() -> None:
        raise DataRejected("NUL byte")

    with pytest.raises(DataRejected):
        retry_with_backoff(act)
    assert naps == []


def test_a_clock_advances_with_real_time_or_is_stopped():
    moving, stopped = ElapsedClock(NOW), ElapsedClock(NOW, is_stopped=True)
    began = monotonic()
    sleep(0.02)
    passed = timedelta(seconds=monotonic() - began)
    assert timedelta(seconds=0.02) <= moving.now() - NOW <= passed + timedelta(seconds=1)
    assert moving.start == stopped.now() == NOW
