"""Classify HTTP answers and failures; shared by all HTTP channels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from drip_pipeline.channels.http.client import Failure, HttpAnswer
from drip_pipeline.channels.protocol import Outcome

LONGEST_WAIT_SECONDS: Final = 24 * 3_600.0
_GONE: Final = 410
_TOO_MANY: Final = 429
_AUTHENTICATION: Final = frozenset({401, 403, 407})
_TRY_LATER: Final = frozenset({408, 425})
# A gateway that lost its upstream does not know whether the request was processed.
_GATEWAY: Final = frozenset({502, 504})


@dataclass(frozen=True, slots=True)
class HttpClassification:
    """An outcome with its reason. `error` is a predicate ("answered with status 500") and never
    quotes the answer's body."""

    outcome: Outcome
    error_code: str | None = None
    error: str = ""
    retry_after_seconds: float | None = None
    is_provider_fault: bool = False
    is_gone: bool = False


def classify_answer(answer: HttpAnswer, now: datetime) -> HttpClassification:
    """Classify an answer by its status.

    2xx accepted; 429, and 503 with Retry-After, throttled; 408, 425, 401, 403, 407 and other 5xx
    not sent; 502, 504 and no answer after sending unknown; everything else, redirects included,
    rejected.
    """
    if answer.failure is not None:
        return _classify_failure(answer)
    status = answer.status
    code, error = f"http_{status}", f"answered with status {status}"
    after = retry_after_seconds(answer.headers.get("retry-after"), now)
    if 200 <= status < 300:
        return HttpClassification(Outcome.ACCEPTED)
    if status == _GONE:
        return HttpClassification(Outcome.REJECTED, code, "is gone (status 410)", is_gone=True)
    if status == _TOO_MANY or (status == 503 and after is not None):
        return HttpClassification(Outcome.THROTTLED, code, error, after, is_provider_fault=True)
    if status in _GATEWAY:
        return HttpClassification(Outcome.UNKNOWN, code, error, after, is_provider_fault=True)
    if status >= 500 or status in _AUTHENTICATION:
        return HttpClassification(Outcome.NOT_SENT, code, error, after, is_provider_fault=True)
    if status in _TRY_LATER:
        return HttpClassification(Outcome.NOT_SENT, code, error, after)
    if 300 <= status < 400:
        error = f"redirects elsewhere (status {status}), which is not followed"
        return HttpClassification(Outcome.REJECTED, "redirected", error)
    return HttpClassification(Outcome.REJECTED, code, error)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Parse `Retry-After` as seconds from now, 0 to one day; None if it cannot be parsed."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            retry_at = parsedate_to_datetime(value)
        except ValueError:
            return None
        if retry_at.tzinfo is None:
            retry_at = retry_at.replace(tzinfo=UTC)
        seconds = (retry_at - now).total_seconds()
    if seconds != seconds:  # the text `nan` is parsed as a float
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _classify_failure(answer: HttpAnswer) -> HttpClassification:
    assert answer.failure is not None
    code, error = answer.failure.value, answer.error
    match answer.failure:
        case Failure.FORBIDDEN:
            return HttpClassification(
                Outcome.REJECTED, "address_forbidden", f"may not be called: {error}"
            )
        case Failure.CONNECT:
            return HttpClassification(
                Outcome.NOT_SENT, code, f"cannot be reached: {error}", is_provider_fault=True
            )
        case Failure.LOST:
            error = f"closed the connection without an answer ({error})"
            return HttpClassification(Outcome.UNKNOWN, code, error, is_provider_fault=True)
        case Failure.TIMEOUT:
            return HttpClassification(
                Outcome.UNKNOWN, code, f"gave {error}", is_provider_fault=True
            )
