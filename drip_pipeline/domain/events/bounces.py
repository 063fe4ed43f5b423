"""The classifier of failed emails: the address is invalid, the failure passes, or the sender or the
content was refused.

One table for SMTP replies, provider payloads and event files. Only PERMANENT suppresses an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final


class BounceClass(StrEnum):
    """PERMANENT: the address cannot receive mail. SOFT: the address cannot receive mail now (a full
    mailbox, a timeout, greylisting). BLOCKED: the sender or the content was refused, by reputation
    or policy, which says nothing of the address.
    """

    PERMANENT = "permanent"
    SOFT = "soft"
    BLOCKED = "blocked"


_PERMANENT, _SOFT, _BLOCKED = BounceClass.PERMANENT, BounceClass.SOFT, BounceClass.BLOCKED

BY_ENHANCED_STATUS: Final[Mapping[str, BounceClass | None]] = {
    # RFC 3463 and the IANA registry; Exchange Online for the long ones. The longest prefix counts.
    # None: the code is too general, and the words and the SMTP code decide.
    "4": _SOFT,
    "5.0": None,
    "5.1": _PERMANENT,
    "5.1.0": None,
    "5.1.7": _BLOCKED,  # syntax of the sender's address
    "5.1.8": _BLOCKED,  # the sender's domain
    "5.1.90": _SOFT,  # Exchange: the sender's daily quota
    "5.2": None,
    "5.2.1": _PERMANENT,  # mailbox disabled
    "5.2.2": _SOFT,  # mailbox full
    "5.2.3": _BLOCKED,  # message too long
    "5.2.4": _PERMANENT,  # broken mailing list
    "5.3": _SOFT,
    "5.3.4": _BLOCKED,  # message too big
    "5.4": _SOFT,
    "5.4.4": _PERMANENT,  # the domain does not exist or has no route
    "5.4.310": _PERMANENT,  # Exchange: the domain does not exist
    "5.5": _BLOCKED,
    "5.6": _BLOCKED,
    "5.6.7": _PERMANENT,  # the address needs SMTPUTF8, which its server does not have
    "5.7": _BLOCKED,
    "5.7.17": _PERMANENT,  # the mailbox has a new owner (RFC 7293)
    "5.7.18": _PERMANENT,  # the domain has a new owner
}

BY_PHRASE: Final[tuple[tuple[str, BounceClass], ...]] = (
    # Texts of servers, in lower case; the first that occurs counts. Passing failures come first,
    # because their texts often say "mailbox unavailable" too.
    ("greylist", _SOFT),
    ("graylist", _SOFT),
    ("mailbox full", _SOFT),
    ("mailbox is full", _SOFT),
    ("inbox is full", _SOFT),
    ("quota", _SOFT),
    ("insufficient storage", _SOFT),
    ("out of storage", _SOFT),
    ("too old", _SOFT),
    ("timed out", _SOFT),
    ("timeout", _SOFT),
    ("time-out", _SOFT),
    ("delivery time expired", _SOFT),
    ("retry timeout", _SOFT),
    ("connection refused", _SOFT),
    ("connection reset", _SOFT),
    ("try again", _SOFT),
    ("try later", _SOFT),
    ("temporar", _SOFT),
    ("rate limit", _SOFT),
    ("too many", _SOFT),
    ("spam", _BLOCKED),
    ("blacklist", _BLOCKED),
    ("blocklist", _BLOCKED),
    ("block list", _BLOCKED),
    ("blocked using", _BLOCKED),
    ("spamhaus", _BLOCKED),
    ("reputation", _BLOCKED),
    ("dmarc", _BLOCKED),
    ("dkim", _BLOCKED),
    ("spf ", _BLOCKED),
    ("virus", _BLOCKED),
    ("policy", _BLOCKED),
    ("content rejected", _BLOCKED),
    ("user unknown", _PERMANENT),
    ("unknown user", _PERMANENT),
    ("unknown recipient", _PERMANENT),
    ("recipient unknown", _PERMANENT),
    ("no such user", _PERMANENT),
    ("no such recipient", _PERMANENT),
    ("no such mailbox", _PERMANENT),
    ("no such address", _PERMANENT),
    ("no mailbox here", _PERMANENT),
    ("invalid mailbox", _PERMANENT),
    ("invalid recipient", _PERMANENT),
    ("invalid address", _PERMANENT),
    ("does not exist", _PERMANENT),
    ("doesn't exist", _PERMANENT),
    ("doesn't have a", _PERMANENT),  # Yahoo: "This user doesn't have a yahoo.com account"
    ("mailbox not found", _PERMANENT),
    ("user not found", _PERMANENT),
    ("address not found", _PERMANENT),
    ("domain not found", _PERMANENT),
    ("host not found", _PERMANENT),
    ("account is disabled", _PERMANENT),
    ("account disabled", _PERMANENT),
    ("mailbox disabled", _PERMANENT),
    ("account has been disabled", _PERMANENT),
    ("no longer", _PERMANENT),
)

BY_SMTP_CODE: Final[Mapping[int, BounceClass | None]] = {
    # RFC 5321 and RFC 7504, for replies without an enhanced status code.
    521: _PERMANENT,  # the domain accepts no mail
    541: _BLOCKED,
    550: _PERMANENT,
    551: _PERMANENT,
    552: _SOFT,
    553: _PERMANENT,
    554: _BLOCKED,
    556: _PERMANENT,  # the domain accepts no mail
    602: _SOFT,  # Mailgun: the message became too old in the queue
}

BY_WORD: Final[Mapping[str, BounceClass | None]] = {
    # Bounce types of providers and files, in lower case without blanks and marks. None: the
    # provider does not know, and the codes and texts decide.
    "permanent": _PERMANENT,
    "hard": _PERMANENT,
    "hardbounce": _PERMANENT,
    "bounce": None,
    "bounced": None,
    "general": None,
    "generic": None,
    "unknown": None,
    "undetermined": None,
    "undeliverable": None,
    "failed": None,
    "noemail": _PERMANENT,
    "suppressed": _PERMANENT,  # Amazon SES: bounced for another of its customers
    "onaccountsuppressionlist": _PERMANENT,
    "bademailaddress": _PERMANENT,
    "invalid": _PERMANENT,
    "invalidemail": _PERMANENT,
    "invalidrecipient": _PERMANENT,
    "invaliddomain": _PERMANENT,
    "unknownuser": _PERMANENT,
    "soft": _SOFT,
    "softbounce": _SOFT,
    "transient": _SOFT,
    "temporary": _SOFT,
    "deferred": _SOFT,
    "deferral": _SOFT,
    "delayed": _SOFT,
    "greylisted": _SOFT,
    "greylisting": _SOFT,
    "mailboxfull": _SOFT,
    "quota": _SOFT,
    "expired": _SOFT,
    "old": _SOFT,  # Mailgun: "too old"
    "tooold": _SOFT,
    "timeout": _SOFT,
    "dnserror": _SOFT,
    "messagetoolarge": _BLOCKED,
    "contentrejected": _BLOCKED,
    "attachmentrejected": _BLOCKED,
    "block": _BLOCKED,
    "blocked": _BLOCKED,
    "espblock": _BLOCKED,  # Mailgun
    "policy": _BLOCKED,
    "reputation": _BLOCKED,
    "spam": _BLOCKED,
    "spamblock": _BLOCKED,
    "spamnotification": _BLOCKED,
    "virusnotification": _BLOCKED,
    "dmarcpolicy": _BLOCKED,
}

_ENHANCED: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_SMTP_CODE: Final = re.compile(r"(?:smtp;\s*)?([4-6]\d\d)(?=[\s\-]|$)", re.IGNORECASE)

_LONGEST_REPLY: Final = 2_000


def classify_bounce(
    *,
    words: Iterable[object] = (),
    status: object = None,
    code: object = None,
    text: object = None,
) -> BounceClass | None:
    """Classify a failure by all that is known of it; None if nothing known decides.

    `words` are the provider's types, the more general first; `status` an enhanced status code or an
    SMTP code, `code` an SMTP code, `text` the reply of the server. A type that is not permanent
    decides, because the provider has seen more than it reports. After that come the enhanced status
    code, the text, the provider's permanent types, and the SMTP code.
    """
    reply = text.strip()[:_LONGEST_REPLY] if isinstance(text, str) else ""
    types = [
        _by_word(word[:_LONGEST_REPLY]) for word in words if isinstance(word, str) and word.strip()
    ]
    for kind in types:
        if kind in (_SOFT, _BLOCKED):
            return kind
    own_status = str(status).strip() if isinstance(status, str | int) else ""
    for enhanced in [*_ENHANCED.findall(own_status), *_ENHANCED.findall(reply)]:
        if (kind := _by_status(enhanced)) is not None:
            return kind
    if (kind := _by_phrase(reply)) is not None:
        return kind
    if _PERMANENT in types:
        return _PERMANENT
    own_code = str(code).strip() if isinstance(code, str | int) else ""
    for number in (own_status, own_code, reply):
        if match := _SMTP_CODE.match(number):
            return _by_smtp_code(int(match[1]))
    # A type that is not in the table says that it bounced, and not that the address is invalid.
    return _SOFT if types else None


def _by_word(word: str) -> BounceClass | None:
    name = re.sub(r"[\W_]+", "", word.lower())
    return BY_WORD[name] if name in BY_WORD else _by_phrase(word)


def _by_status(enhanced: str) -> BounceClass | None:
    parts = enhanced.split(".")
    for length in (3, 2, 1):
        prefix = ".".join(parts[:length])
        if prefix in BY_ENHANCED_STATUS:
            return BY_ENHANCED_STATUS[prefix]
    return None


def _by_phrase(text: str) -> BounceClass | None:
    lower = text.lower()
    return next((kind for phrase, kind in BY_PHRASE if phrase in lower), None)


def _by_smtp_code(code: int) -> BounceClass | None:
    if code // 100 == 4:
        return _SOFT
    return BY_SMTP_CODE.get(code, _SOFT)
