"""Time budgets: a deadline on the monotonic clock, and parts of the time that is left."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class Deadline:
    """A reading of the monotonic clock at which work stops; None never passes."""

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Self:
        """Return the deadline in this many seconds; None gives one that never passes."""
        return cls(None if seconds is None else monotonic() + seconds)

    def is_over(self, *, in_seconds: float = 0) -> bool:
        """Return whether the deadline has passed, or will have passed in `in_seconds`."""
        return self.at is not None and monotonic() + in_seconds >= self.at

    def part(self, fraction: float) -> Deadline:
        """Return the deadline of this fraction (0..1) of the time that is left."""
        if self.at is None:
            return self
        now = monotonic()
        return Deadline(now + fraction * (self.at - now))


NO_DEADLINE: Final = Deadline()
