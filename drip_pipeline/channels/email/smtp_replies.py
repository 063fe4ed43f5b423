"""Classify SMTP replies and lost connections.

Codes after RFC 5321, 4.2 and RFC 3463. The session is in smtp_session.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from drip_pipeline.channels.protocol import Outcome
from drip_pipeline.domain.events.bounces import BounceClass, classify_bounce


class Phase(StrEnum):
    """A phase of a transaction; only after the last byte (END) may the server have the message."""

    CONNECT = "connect"
    SENDER = "mail from"
    RECIPIENT = "rcpt to"
    DATA = "data"
    END = "end of data"


@dataclass(frozen=True, slots=True)
class SmtpReplyClass:
    """The classification of a reply: an outcome with its reason. `error` is the server's text, not
    yet redacted. `is_connection_lost`: the connection cannot be used any more.
    `is_mailbox_unavailable`: the recipient's mailbox is full or closed for now.
    """

    phase: Phase
    outcome: Outcome
    error_code: str | None = None
    error: str = ""
    provider_message_id: str | None = None
    retry_after_seconds: float | None = None
    is_recipient_invalid: bool = False
    is_mailbox_unavailable: bool = False
    is_connection_lost: bool = False

    @property
    def is_provider_fault(self) -> bool:
        """Whether the relay or the connection failed, which would happen to any message."""
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

_ENHANCED: Final = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_RETRY_AFTER: Final = re.compile(
    r"\b(?:in|after|wait(?: for)?)\s+(\d{1,6})\s*(s|m|h)(?:ec|in|our|r)?\w*", re.IGNORECASE
)
_FULL: Final = ("mailbox full", "mailbox is full", "inbox is full", "over quota", "quota exceeded")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_QUEUED_AS: Final = re.compile(
    r"(?:2\.\d\.\d\s+)?(?:ok[:;]?|accepted)?\s*(?:queued as\s+|id=)?([\w.+/@=-]{6,200})\.?",
    re.IGNORECASE,
)


def classify_reply(phase: Phase, code: int, text: str) -> SmtpReplyClass:
    """Classify the reply `code text` in this phase; for the replies that end a message."""
    lost = code == _CLOSING
    if code // 100 == 2 and phase is Phase.END:
        return SmtpReplyClass(phase, Outcome.ACCEPTED, provider_message_id=_message_id(text))
    error_code = f"smtp_{code}"
    if code in _AUTHENTICATION:
        return SmtpReplyClass(phase, Outcome.NOT_SENT, _AUTH_REQUIRED, text)
    if code // 100 == 4:
        outcome = Outcome.THROTTLED if _throttles(code, text) else Outcome.NOT_SENT
        after = _retry_after_seconds(text)
        return SmtpReplyClass(
            phase,
            outcome,
            error_code,
            text,
            retry_after_seconds=after,
            is_connection_lost=lost,
            is_mailbox_unavailable=_names_mailbox(phase, code, text),
        )
    if code // 100 == 5:
        if _concerns_configuration(phase, code):
            return SmtpReplyClass(phase, Outcome.NOT_SENT, error_code, text)
        return SmtpReplyClass(
            phase,
            Outcome.REJECTED,
            error_code,
            text,
            is_recipient_invalid=_names_no_mailbox(phase, code, text),
            is_mailbox_unavailable=_names_mailbox(phase, code, text),
        )
    # Neither success nor a standard failure: after the last byte, the outcome is unknown.
    outcome = Outcome.UNKNOWN if phase is Phase.END else Outcome.NOT_SENT
    return SmtpReplyClass(phase, outcome, "smtp_protocol", text, is_connection_lost=True)


def classify_disconnect(phase: Phase, *, timed_out: bool) -> SmtpReplyClass:
    """Classify a broken connection or a timeout."""
    outcome = Outcome.UNKNOWN if phase is Phase.END else Outcome.NOT_SENT
    code = "timeout" if timed_out else "disconnected"
    happened = "did not answer in time" if timed_out else "closed the connection"
    text = f"the server {happened} (phase: {phase.value})"
    return SmtpReplyClass(phase, outcome, code, text, is_connection_lost=True)


def _throttles(code: int, text: str) -> bool:
    """Whether it is busy or greylists: 4.7.x policy, 4.3.2 not accepting, 4.4.5 congestion."""
    enhanced = _enhanced_code(text)
    return code in _THROTTLING or enhanced.startswith("4.7.") or enhanced in ("4.3.2", "4.4.5")


def _concerns_configuration(phase: Phase, code: int) -> bool:
    """Whether the server refuses the client or the sender, which is true of every message. The size
    of a message is refused at MAIL FROM, too, and concerns only that message."""
    return phase is Phase.CONNECT or (phase is Phase.SENDER and code != _TOO_BIG)


def _names_no_mailbox(phase: Phase, code: int, text: str) -> bool:
    """Whether the address is invalid. Without an enhanced status code or a text that says so, the
    code counts at RCPT TO only, because after the data it concerns the content."""
    if phase not in (Phase.RECIPIENT, Phase.END):
        return False
    kind = classify_bounce(text=text, code=code if phase is Phase.RECIPIENT else None)
    return kind is BounceClass.PERMANENT


def _names_mailbox(phase: Phase, code: int, text: str) -> bool:
    """Whether the mailbox of the recipient is full or closed for now: by the enhanced status code
    x.2.x, or without one by words. A busy server, a limit of its rate and greylisting, which some
    servers report as 4.2.0, concern the sender or the connection."""
    if phase not in (Phase.RECIPIENT, Phase.END) or code == _CLOSING:
        return False
    words = text.lower()
    if any(each in words for each in ("greylist", "graylist", "rate limit", "too many")):
        return False
    enhanced = _enhanced_code(text)
    if not enhanced:
        return any(each in words for each in _FULL)
    if code // 100 == 5:
        return enhanced.startswith("5.2.") and classify_bounce(text=text) is BounceClass.SOFT
    return enhanced.startswith("4.2.")


def _enhanced_code(text: str) -> str:
    match = _ENHANCED.match(text)
    return match[1] if match else ""


def _retry_after_seconds(text: str) -> float | None:
    match = _RETRY_AFTER.search(text)
    return float(int(match[1]) * _SECONDS[match[2].lower()]) if match else None


def _message_id(text: str) -> str | None:
    match = _QUEUED_AS.fullmatch(text.strip())
    return match[1] if match else None
