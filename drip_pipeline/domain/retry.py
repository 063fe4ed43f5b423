"""The delay before a failed step or delivery is retried. Pure: no clock, no random numbers."""

from __future__ import annotations

from typing import Final
from uuid import UUID

FIRST_DELAY_SECONDS: Final = 60
LONGEST_DELAY_SECONDS: Final = 6 * 3_600
_JITTER_STEPS: Final = 16


def retry_delay_seconds(
    attempt: int, item: UUID, retry_after_seconds: float | None = None
) -> float:
    """Return the exponential backoff with jitter: 1, 2, 4 … minutes, at most 6 hours, ±25 %.

    `attempt` counts from 1. The jitter is a function of `item` in 16 steps: thousands of items that
    failed together are not retried together, but still share few enough delays to be written in
    groups. A provider's `retry_after_seconds` is a lower bound.
    """
    delay = min(FIRST_DELAY_SECONDS * 2.0 ** (max(attempt, 1) - 1), LONGEST_DELAY_SECONDS)
    step = item.int % _JITTER_STEPS
    jittered = delay * (0.75 + 0.5 * step / (_JITTER_STEPS - 1))
    return max(jittered, retry_after_seconds or 0.0)
