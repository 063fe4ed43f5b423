"""The result of one check of `drip doctor`. The checks are in the other modules of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CheckState = Literal["ok", "warning", "failure"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report of `drip doctor`.

    `warning`: it works, but should be looked at. `hint` is the next step; it may be empty.
    """

    check: str
    state: CheckState
    message: str
    hint: str = ""
