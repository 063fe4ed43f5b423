"""How often a delivery is attempted, and what happens to one whose outcome is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """How often a delivery is tried, and what becomes of one whose fate is unknown: `assume_sent`
    after the grace time, `retry` (after the last try it is assumed sent, too) or `hold` until
    somebody settles it.
    """

    max_attempts: int = MAX_ATTEMPTS
    on_unknown: str = "assume_sent"
