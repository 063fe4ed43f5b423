"""When a failed step or delivery is tried again. Pure: the caller says how often it failed and for
whom."""

from __future__ import annotations

from typing import Final
from uuid import UUID

FIRST_DELAY_SECONDS: Final = 60
LONGEST_DELAY_SECONDS: Final = 6 * 3_600
_JITTER_STEPS: Final = 16


def retry_delay_seconds(attempt: int, who: UUID, retry_after_seconds: float | None = None) -> float:
    """Exponential back-off with jitter: 1, 2, 4 … minutes, at most six hours, spread by ±25 %.

    `attempt` counts from 1. The jitter is a function of `who` in 16 steps: thousands that failed
    together do not come back together, yet few enough delays differ that they are still written in
    groups. A provider's `retry_after_seconds` is a lower bound.
    """
    delay = min(FIRST_DELAY_SECONDS * 2.0 ** (max(attempt, 1) - 1), LONGEST_DELAY_SECONDS)
    step = who.int % _JITTER_STEPS
    jittered = delay * (0.75 + 0.5 * step / (_JITTER_STEPS - 1))
    return max(jittered, retry_after_seconds or 0.0)
