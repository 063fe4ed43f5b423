"""What an HTTP answer, or none, means for a message: the part that all HTTP channels share."""

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
# A gateway that lost the service behind it cannot know whether that has acted.
_GATEWAY: Final = frozenset({502, 504})


@dataclass(frozen=True, slots=True)
class HttpVerdict:
    """An outcome with its reasons; `words` are a predicate ("answered with status 500") and quote
    nothing of the answer's body."""

    outcome: Outcome
    error_code: str | None = None
    words: str = ""
    retry_after_seconds: float | None = None
    is_provider_fault: bool = False
    is_gone: bool = False


def verdict_on_answer(answer: HttpAnswer, now: datetime) -> HttpVerdict:
    """2xx accepted; 429 and 503 with a time throttled; 408, 425, 401, 403 and other 5xx not sent;
    502, 504 and silence after sending unknown; everything else rejected, redirects included.
    """
    if answer.failure is not None:
        return _verdict_on_failure(answer)
    status = answer.status
    code, words = f"http_{status}", f"answered with status {status}"
    after = retry_after_seconds(answer.headers.get("retry-after"), now)
    if 200 <= status < 300:
        return HttpVerdict(Outcome.ACCEPTED)
    if status == _GONE:
        return HttpVerdict(Outcome.REJECTED, code, "is gone for good (status 410)", is_gone=True)
    if status == _TOO_MANY or (status == 503 and after is not None):
        return HttpVerdict(Outcome.THROTTLED, code, words, after, is_provider_fault=True)
    if status in _GATEWAY:
        return HttpVerdict(Outcome.UNKNOWN, code, words, after, is_provider_fault=True)
    if status >= 500 or status in _AUTHENTICATION:
        return HttpVerdict(Outcome.NOT_SENT, code, words, after, is_provider_fault=True)
    if status in _TRY_LATER:
        return HttpVerdict(Outcome.NOT_SENT, code, words, after)
    if 300 <= status < 400:
        words = f"redirects elsewhere (status {status}), which is not followed"
        return HttpVerdict(Outcome.REJECTED, "redirected", words)
    return HttpVerdict(Outcome.REJECTED, code, words)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """`Retry-After` as seconds from now, 0 to a day; None when it says nothing readable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    if seconds != seconds:  # the text `nan` is a float, too
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _verdict_on_failure(answer: HttpAnswer) -> HttpVerdict:
    assert answer.failure is not None
    code, words = answer.failure.value, answer.words
    match answer.failure:
        case Failure.FORBIDDEN:
            return HttpVerdict(Outcome.REJECTED, "address_forbidden", f"may not be called: {words}")
        case Failure.CONNECT:
            return HttpVerdict(
                Outcome.NOT_SENT, code, f"cannot be reached: {words}", is_provider_fault=True
            )
        case Failure.LOST:
            told = f"closed the connection without an answer ({words})"
            return HttpVerdict(Outcome.UNKNOWN, code, told, is_provider_fault=True)
        case Failure.TIMEOUT:
            return HttpVerdict(Outcome.UNKNOWN, code, f"gave {words}", is_provider_fault=True)
