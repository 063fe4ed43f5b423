"""A clock that moves: the engine's `now`, and the real time that has passed since.

Sending takes time, and rates are about time; so a delivering worker cannot live by the moment at
which its tick began. No clock of the day is read: only how long it is since the start.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from time import monotonic


class ElapsedClock:
    """Starts at `now` and goes on as real time does; with `is_stopped` it stays there, which is
    what recording wants: nothing leaves, so nothing takes time."""

    def __init__(self, now: datetime, *, is_stopped: bool = False) -> None:
        self.start = now
        self._started = monotonic()
        self._is_stopped = is_stopped

    def now(self) -> datetime:
        """The engine's time at this moment."""
        if self._is_stopped:
            return self.start
        return self.start + timedelta(seconds=self.elapsed_seconds())

    def elapsed_seconds(self) -> float:
        """Real seconds since the start."""
        return monotonic() - self._started
