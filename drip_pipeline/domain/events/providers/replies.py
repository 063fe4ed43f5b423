"""Mail that people send back: whose message it answers, and whether a person wrote it. What it says
is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from drip_pipeline.domain.events.providers.common import derived_id, event_line, our_message_id

_IDS: Final = re.compile(r"<[^<>\s]+>")
_BOUNCE_RECIPIENT: Final = re.compile(r"bounces\+([0-9a-f-]{36})@", re.IGNORECASE)
_BY_MACHINES: Final = frozenset({"auto_reply", "auto-reply", "bulk", "junk", "list"})
_MARKS: Final = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-mail-autoreply")


def lower_case(headers: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """Header lines by name in small letters; the first of a name counts."""
    found: dict[str, str] = {}
    for name, value in headers:
        if isinstance(name, str) and isinstance(value, str):
            found.setdefault(name.strip().lower(), value)
    return found


def is_automatic(headers: Mapping[str, str]) -> bool:
    """Whether a machine answered: a vacation notice, a ticket system, a list (RFC 3834)."""
    submitted = headers.get("auto-submitted", "no").split(";")[0].strip().lower()
    return (
        submitted != "no"
        or headers.get("precedence", "").strip().lower() in _BY_MACHINES
        or any(mark in headers for mark in _MARKS)
        or headers.get("return-path", "").strip() == "<>"
    )


def reply_line(
    headers: Mapping[str, str],
    *,
    received_at: datetime,
    sender: str | None = None,
    recipients: Iterable[Any] = (),
    occurred_at: str | None = None,
    event_id: str | None = None,
) -> dict[str, Any] | None:
    """The event that a mail is, None when it answers no message of ours. `recipients` are the
    addresses it went to: ours may name the message, too.
    """
    answered = [*_IDS.findall(headers.get("in-reply-to", ""))]
    answered += reversed(_IDS.findall(headers.get("references", "")))
    for recipient in recipients:
        if isinstance(recipient, str) and (found := _BOUNCE_RECIPIENT.search(recipient)):
            answered.append(found[1])
    message_id = our_message_id(*answered)
    if message_id is None:
        return None
    automatic = is_automatic(headers)
    return event_line(
        event_id=event_id or derived_id("reply", headers.get("message-id"), message_id, sender),
        event_type="email_replied",
        occurred_at=occurred_at,
        received_at=received_at,
        message_id=message_id,
        # Marked as a machine's it is logged, counts as no reply and wakes nobody.
        data={"machine": True, "auto_submitted": True} if automatic else None,
    )
