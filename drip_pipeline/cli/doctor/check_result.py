"""What a check of `drip doctor` reports. Checks themselves stand beside what they check, or in
`checks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the doctor's report: `ok`, `warning` (works, but look at it) or `failure`; `hint`
    says what to do.
    """

    check: str
    state: Literal["ok", "warning", "failure"]
    message: str
    hint: str = ""
