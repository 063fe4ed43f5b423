"""Verification of inbound requests: result, error and timestamp checks common to all providers.

The signatures of each provider are in the provider's module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

VerificationFailure = Literal["forged", "stale", "replayed"]


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """A request with a valid signature.

    `call_id`: the sender's id of the call, the same when it is repeated. `once`: a value that no
    genuine request has twice (replay protection); None if repeats are identical. `workspace`: the
    workspace of the key, None for a key of all workspaces.
    """

    call_id: str = ""
    once: str | None = None
    workspace: str | None = None


class VerificationError(Exception):
    """Verification failed. `reason` is a metrics label and is never returned to the client."""

    def __init__(self, reason: VerificationFailure) -> None:
        super().__init__(reason)
        self.reason: VerificationFailure = reason


def check_any(
    checks: Iterable[tuple[str | None, Callable[[], VerifiedRequest]]],
) -> VerifiedRequest:
    """Verify a request by the keys of several workspaces: the first that it is signed with counts.

    Raises VerificationError; that of a valid signature, which is only stale, if there is one.
    """
    failure = VerificationError("forged")
    for workspace, check in checks:
        try:
            return replace(check(), workspace=workspace)
        except VerificationError as error:
            if error.reason != "forged":
                failure = error
    raise failure


def check_time(
    seconds_since_1970: str, now: datetime, *, past: timedelta, future: timedelta
) -> None:
    """Check that a signed Unix time is within these bounds of now. Raises VerificationError."""
    if not (seconds_since_1970.isascii() and seconds_since_1970.isdigit()):
        raise VerificationError("forged")
    try:
        signed_at = datetime.fromtimestamp(int(seconds_since_1970), UTC)
    except (ValueError, OverflowError, OSError):
        raise VerificationError("stale") from None
    check_timestamp(signed_at, now, past=past, future=future)


def check_timestamp(
    signed_at: datetime, now: datetime, *, past: timedelta, future: timedelta
) -> None:
    """Check that a time is within these bounds of now. Raises VerificationError."""
    if not now - past <= signed_at <= now + future:
        raise VerificationError("stale")
