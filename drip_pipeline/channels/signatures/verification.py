"""What a request from outside must prove before anything of it is kept, in words that all providers
share. How each provider signs stands in the modules that speak of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Why = Literal["forged", "stale", "replayed"]


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """A request is from whom it says. `call_id`: what the sender calls it, the same when it is
    repeated. `once`: what no honest request carries twice; None where repeats look the same.
    """

    call_id: str = ""
    once: str | None = None


class VerificationError(Exception):
    """A request that is not believed. `why` is for counting and never told to whoever sent it."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Why = why


def check_time(
    seconds_since_1970: str, now: datetime, *, past: timedelta, future: timedelta
) -> None:
    """Raise Unproven unless a time that was signed along lies within these bounds of now."""
    if not (seconds_since_1970.isascii() and seconds_since_1970.isdigit()):
        raise VerificationError("forged")
    try:
        moment = datetime.fromtimestamp(int(seconds_since_1970), UTC)
    except (ValueError, OverflowError, OSError):
        raise VerificationError("stale") from None
    check_moment(moment, now, past=past, future=future)


def check_moment(moment: datetime, now: datetime, *, past: timedelta, future: timedelta) -> None:
    """Raise Unproven unless the moment lies within these bounds of now."""
    if not now - past <= moment <= now + future:
        raise VerificationError("stale")
