"""Inbound email: the message that it answers, and whether a person wrote it. The content is not
read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from drip_pipeline.domain.events.providers.common import (
    EventLine,
    ReportedEvent,
    derived_id,
    our_message_id,
)

_IDS: Final = re.compile(r"<[^<>\s]+>")
_BOUNCE_RECIPIENT: Final = re.compile(r"bounces\+([0-9a-f-]{36})@", re.IGNORECASE)
_BY_MACHINES: Final = frozenset({"auto_reply", "auto-reply", "bulk", "junk", "list"})
_MARKS: Final = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-mail-autoreply")


def lower_case(headers: Iterable[tuple[object, object]]) -> dict[str, str]:
    """Return headers by lower-case name; the first of a name counts."""
    by_name: dict[str, str] = {}
    for name, value in headers:
        if isinstance(name, str) and isinstance(value, str):
            by_name.setdefault(name.strip().lower(), value)
    return by_name


def is_automatic(headers: Mapping[str, str]) -> bool:
    """Return whether a machine answered: a vacation notice, a ticket system, a list (RFC 3834)."""
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
    recipients: Iterable[object] = (),
    occurred_at: str | None = None,
    event_id: str | None = None,
) -> EventLine | None:
    """Return the event of an inbound email, None if it answers no message of ours.

    The message is named by In-Reply-To, by References, or by a bounce address of ours among the
    `recipients`.
    """
    answered = [*_IDS.findall(headers.get("in-reply-to", ""))]
    answered += reversed(_IDS.findall(headers.get("references", "")))
    for recipient in recipients:
        if isinstance(recipient, str) and (match := _BOUNCE_RECIPIENT.search(recipient)):
            answered.append(match[1])
    message_id = our_message_id(*answered)
    if message_id is None:
        return None
    automatic = is_automatic(headers)
    return ReportedEvent(
        event_id=event_id or derived_id("reply", headers.get("message-id"), message_id, sender),
        event_type="email_replied",
        occurred_at=occurred_at,
        received_at=received_at,
        message_id=message_id,
        # An event of a machine is logged, does not count as a reply and resumes no wait.
        data={"machine": True, "auto_submitted": True} if automatic else {},
    ).line()
