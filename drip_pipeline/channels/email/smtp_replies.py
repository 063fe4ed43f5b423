"""What an SMTP server's reply, or its silence, means for a message: the table of verdicts.

Codes after RFC 5321, 4.2 and RFC 3463. Talking to the server stands in smtp_session.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drip_pipeline.channels.protocol import Outcome


class Phase(StrEnum):
    """How far a message has come. Only after the last byte (`end`) may the server have it."""

    CONNECT = "connect"
    SENDER = "mail from"
    RECIPIENT = "rcpt to"
    DATA = "data"
    END = "end of data"


@dataclass(frozen=True, slots=True)
class SmtpReplyClass:
    """An outcome with its reasons. `words` are the server's own and not redacted yet.
    `is_connection_lost`: nothing more can be said over this connection.
    """

    phase: Phase
    outcome: Outcome
    error_code: str | None = None
    words: str = ""
    provider_message_id: str | None = None
    retry_after_seconds: float | None = None
    is_recipient_invalid: bool = False
    is_connection_lost: bool = False

    @property
    def is_provider_fault(self) -> bool:
        """Whether the relay, or the way to it, is at fault: then it would be so for any message."""
        if self.outcome in (Outcome.ACCEPTED, Outcome.REJECTED):
            return False
        return (
            self.is_connection_lost
            or self.phase in (Phase.CONNECT, Phase.SENDER)
            or self.error_code == _AUTH_REQUIRED
        )


_CLOSING: Final = 421
_TOO_BIG: Final = 552
_THROTTLING: Final = frozenset({_CLOSING, 450, 452})
_AUTH_REQUIRED: Final = "auth_required"
_AUTHENTICATION: Final = frozenset({530, 534, 535, 538})
_NO_SUCH_MAILBOX: Final = frozenset({550, 551, 553})

_ENHANCED: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_RETRY_AFTER: Final = re.compile(
    r"\b(?:in|after|wait(?: for)?)\s+(\d{1,6})\s*(s|m|h)(?:ec|in|our|r)?\w*", re.IGNORECASE
)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_QUEUED_AS: Final = re.compile(
    r"(?:2\.\d\.\d\s+)?(?:ok[:;]?|accepted)?\s*(?:queued as\s+|id=)?([\w.+/@=-]{6,200})\.?",
    re.IGNORECASE,
)


def verdict_on_reply(phase: Phase, code: int, words: str) -> SmtpReplyClass:
    """What the reply `code words` means in this phase; for the replies that end a message."""
    lost = code == _CLOSING
    if code // 100 == 2 and phase is Phase.END:
        return SmtpReplyClass(phase, Outcome.ACCEPTED, provider_message_id=_message_id(words))
    error_code = f"smtp_{code}"
    if code in _AUTHENTICATION:
        return SmtpReplyClass(phase, Outcome.NOT_SENT, _AUTH_REQUIRED, words)
    if code // 100 == 4:
        outcome = Outcome.THROTTLED if _throttles(code, words) else Outcome.NOT_SENT
        after = _retry_after_seconds(words)
        return SmtpReplyClass(
            phase, outcome, error_code, words, retry_after_seconds=after, is_connection_lost=lost
        )
    if code // 100 == 5:
        if _concerns_the_set_up(phase, code):
            return SmtpReplyClass(phase, Outcome.NOT_SENT, error_code, words)
        invalid = _names_no_mailbox(phase, code, words)
        return SmtpReplyClass(
            phase, Outcome.REJECTED, error_code, words, is_recipient_invalid=invalid
        )
    # Neither success nor a failure that the standard knows: after the last byte, anybody's guess.
    outcome = Outcome.UNKNOWN if phase is Phase.END else Outcome.NOT_SENT
    return SmtpReplyClass(phase, outcome, "smtp_protocol", words, is_connection_lost=True)


def verdict_on_silence(phase: Phase, *, timed_out: bool) -> SmtpReplyClass:
    """The connection broke, or the server did not answer in time."""
    outcome = Outcome.UNKNOWN if phase is Phase.END else Outcome.NOT_SENT
    code = "timeout" if timed_out else "disconnected"
    happened = "did not answer in time" if timed_out else "closed the connection"
    words = f"the server {happened} (phase: {phase.value})"
    return SmtpReplyClass(phase, outcome, code, words, is_connection_lost=True)


def _throttles(code: int, words: str) -> bool:
    """Busy or greylisting: 4.7.x is policy, 4.3.2 "system not accepting", 4.4.5 congestion."""
    enhanced = _enhanced_code(words)
    return code in _THROTTLING or enhanced.startswith("4.7.") or enhanced in ("4.3.2", "4.4.5")


def _concerns_the_set_up(phase: Phase, code: int) -> bool:
    """The server wants none of us, or not this sender: true of every message, so no verdict on
    one. A message too big for the server is told at MAIL FROM, too."""
    return phase is Phase.CONNECT or (phase is Phase.SENDER and code != _TOO_BIG)


def _names_no_mailbox(phase: Phase, code: int, words: str) -> bool:
    """5.1.x says "bad address" wherever it comes; a bare 550 does at RCPT TO only, since after the
    data it means the content."""
    enhanced = _enhanced_code(words)
    if enhanced:
        return enhanced.startswith("5.1.") and phase in (Phase.RECIPIENT, Phase.END)
    return phase is Phase.RECIPIENT and code in _NO_SUCH_MAILBOX


def _enhanced_code(words: str) -> str:
    match = _ENHANCED.match(words)
    return match[1] if match else ""


def _retry_after_seconds(words: str) -> float | None:
    match = _RETRY_AFTER.search(words)
    return float(int(match[1]) * _SECONDS[match[2].lower()]) if match else None


def _message_id(words: str) -> str | None:
    match = _QUEUED_AS.fullmatch(words.strip())
    return match[1] if match else None
