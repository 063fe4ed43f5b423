"""What reading a provider's payload gives, and the small tools that all readers share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import orjson

TRACE_KEY: Final = "drip_message_id"
"""Under this name our message id goes through a provider that replaces Message-ID by its own."""
NOT_JSON: Final = "the payload is not JSON"

_OUR_ID: Final = re.compile(
    r"<?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:@[^>\s]*)?>?",
    re.IGNORECASE,
)
_LONGEST_REASON: Final = 500


class PayloadInvalid(ValueError):
    """A payload that cannot be read; its text is the reason and quotes nothing of it."""


@dataclass(slots=True)
class Reading:
    """`lines` are events as an events file has them. `problems` are reasons why parts of the
    payload are none; `ignored` counts what is well understood and means nothing to us (processed,
    queued …).
    """

    lines: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ignored: int = 0


def json_of(payload: bytes) -> Any:
    """The payload as JSON. Raises PayloadInvalid."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise PayloadInvalid(NOT_JSON) from None


def json_object(payload: bytes) -> dict[str, Any]:
    """The payload as a JSON object. Raises PayloadInvalid."""
    found = json_of(payload)
    if not isinstance(found, dict):
        raise PayloadInvalid("the payload is not a JSON object")
    return found


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one: providers leave parts out, or null."""
    return value if isinstance(value, Mapping) else {}


def text(value: Any) -> str | None:
    """The value if it is a text with something in it."""
    return value if isinstance(value, str) and value.strip() else None


def our_message_id(*candidates: Any) -> str | None:
    """The first of these that is an id of ours, bare or as a Message-ID header has it."""
    for candidate in candidates:
        if isinstance(candidate, str) and (found := _OUR_ID.fullmatch(candidate.strip())):
            return found[1].lower()
    return None


def derived_id(*parts: Any) -> str:
    """The same id for the same facts, where a provider gives an event none."""
    joined = "\x1f".join("" if part is None else str(part) for part in parts)
    return sha256(joined.encode()).hexdigest()[:40]


def from_epoch(value: Any) -> str | None:
    """A time given in seconds since 1970 as ISO text; None when it is none."""
    try:
        return datetime.fromtimestamp(float(value), UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def reason(value: Any) -> str | None:
    """A server's words, cut to a sensible length."""
    found = text(value)
    return found.strip()[:_LONGEST_REASON] if found else None


def event_line(
    *,
    event_id: str,
    event_type: str,
    occurred_at: str | None,
    received_at: datetime,
    message_id: str | None = None,
    provider_message_id: str | None = None,
    email: str | None = None,
    user_agent: Any = None,
    ip_address: Any = None,
    url: Any = None,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A line of an events file; what is not known is left out. Without a time of its own the event
    happened when it came in.
    """
    line: dict[str, Any] = {
        "event_id": event_id,
        "event_type": event_type,
        "occurred_at": occurred_at or received_at.isoformat(),
        "message_id": message_id,
        "provider_message_id": provider_message_id,
        "email": email,
        "user_agent": text(user_agent),
        "ip_address": text(ip_address),
        "url": text(url),
        "data": _without_nothing((data or {}).items()),
    }
    return _without_nothing(line.items())


def _without_nothing(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in items if value is not None and value != {}}
