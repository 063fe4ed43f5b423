"""A clock of the engine's logical time plus the real time elapsed since the start.

Sending takes time and rate limits need real time, so a delivery worker cannot use the tick's start
time throughout. The time of day is never read, only the elapsed time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from time import monotonic


class ElapsedClock:
    """Starts at `now` and advances with real time. With `is_stopped` it does not advance: recording
    sends nothing and so takes no time."""

    def __init__(self, now: datetime, *, is_stopped: bool = False) -> None:
        self.start = now
        self._started = monotonic()
        self._is_stopped = is_stopped

    def now(self) -> datetime:
        """Return the engine's time plus the elapsed time."""
        if self._is_stopped:
            return self.start
        return self.start + timedelta(seconds=self.elapsed_seconds())

    def elapsed_seconds(self) -> float:
        """Return the real seconds since the start."""
        return monotonic() - self._started
