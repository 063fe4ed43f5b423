"""Read cells that say who must not get messages. What cannot be read counts as a no to messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

Said = Literal["no", "yes", "nothing", "unreadable"]
"""What a cell says about messages to the contact: `no` means none may be sent."""

_TRUE: Final = frozenset(
    (
        "true", "1", "yes", "y", "t", "on", "x", "✓", "✔", "☑", "checked", "ja", "j", "oui", "o",
        "si", "sí", "sim", "da", "tak", "wahr", "vrai", "verdadero",
    )
)  # fmt: skip
_FALSE: Final = frozenset(
    (
        "false", "0", "no", "n", "f", "off", "nein", "non", "não", "nao", "nie", "nej", "falsch",
        "faux", "falso", "unchecked", "✗", "✘", "☐",
    )
)  # fmt: skip
_NOTHING: Final = frozenset(("", "-", "--", "null", "none", "n/a", "na", "nan", "nil", "\\n"))
_NO_DATE: Final = re.compile(r"0{2,4}-0{2}-0{2}(?:[ T]0{2}:0{2}(?::0{2}(?:\.0+)?)?Z?)?")
_DATE: Final = re.compile(
    r"(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./ ](?:\d{1,2}|[^\W\d]{3,9}\.?)[-./, ]+\d{2,4}"
    r"|[^\W\d]{3,9}\.? \d{1,2},? \d{4}|\d{8}|1\d{9}(?:\d{3})?)(?:\W.*|t\d.*)?",
    re.DOTALL,
)
_STATUS_REASONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "unsubscribed", "unsubscribe", "unsub", "blocklisted", "blacklisted", "blocked",
            "opted out", "opt out", "optout", "optedout", "opted-out", "opt-out", "suppressed",
            "do not contact", "do not email", "do not mail", "donotemail", "dnc",
            "never subscribed", "not subscribed", "nonsubscribed", "non-subscribed",
            "unsubscribed by admin", "unsubscribed by user", "not opted in", "no consent",
            "removed", "revoked", "denied", "declined", "withdrawn", "globally unsubscribed",
            "archived unsubscribed", "abgemeldet",
        ),
        "unsubscribed",
    ),
    **dict.fromkeys(
        (
            "bounced", "bounce", "cleaned", "hard bounced", "hard bounce", "hardbounced",
            "hardbounce", "undeliverable", "invalid", "invalid email", "bounced hard",
        ),
        "bounced",
    ),
    **dict.fromkeys(
        (
            "complained", "complaint", "complainer", "spam", "spam complaint", "junk", "abuse",
            "marked as spam", "reported spam", "spam reported", "reported as spam", "spammed",
        ),
        "complained",
    ),
}  # fmt: skip
_SUBSCRIBED: Final = frozenset(
    (
        "subscribed", "active", "granted", "confirmed", "opted in", "opt in", "optin", "opted-in",
        "opt-in", "given", "consented", "single opt in", "double opt in", "confirmed opt in",
        "resubscribed", "enabled", "allowed", "accepted", "explicit",
    )
)  # fmt: skip


def read_refusal(text: str) -> Said:
    """Read a cell of a column such as `unsubscribed`: a yes, a date or a status of that kind is a
    no to messages.
    """
    word = _word(text)
    if word in _NOTHING or _NO_DATE.fullmatch(word):
        return "nothing"
    number = _number(word)
    if word in _TRUE or number == 1 or status_reason(word) is not None:
        return "no"
    if word in _FALSE or number == 0 or word in _SUBSCRIBED:
        return "yes"
    return "no" if _DATE.fullmatch(word) else "unreadable"


def read_consent(text: str) -> Said:
    """Read a cell of a column such as `accepts_marketing`: a no there is a no to messages; a date
    is that of the consent.
    """
    word = _word(text)
    if word in _NOTHING:
        return "nothing"
    number = _number(word)
    if word in _FALSE or number == 0 or status_reason(word) is not None or _NO_DATE.fullmatch(word):
        return "no"
    if word in _TRUE or number == 1 or word in _SUBSCRIBED or _DATE.fullmatch(word):
        return "yes"
    return "unreadable"


def status_reason(text: str) -> str | None:
    """Return the reason to suppress a contact that has this status, None for any other status."""
    return _STATUS_REASONS.get(_word(text))


def _word(text: str) -> str:
    return re.sub(r"[\s_]+", " ", text.strip().strip("'\".!").lower()).strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
