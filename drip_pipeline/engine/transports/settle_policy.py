"""How often a delivery is attempted, and how an unknown outcome is settled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class SettlePolicy:
    """`max_attempts` per delivery, and what to do with an unknown outcome: `assume_sent` after the
    grace time, `retry` (after the last attempt it is assumed sent, too) or `hold` until an operator
    settles it.
    """

    max_attempts: int = MAX_ATTEMPTS
    on_unknown: str = "assume_sent"
