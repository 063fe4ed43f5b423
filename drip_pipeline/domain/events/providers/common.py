"""The result of parsing a provider's payload, and the helpers that all parsers share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, TypeAlias

import orjson

TRACE_KEY: Final = "drip_message_id"
"""The custom argument that carries our message id through providers that replace Message-ID."""
NOT_JSON: Final = "the payload is not JSON"

_OUR_ID: Final = re.compile(
    r"<?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:@[^>\s]*)?>?",
    re.IGNORECASE,
)
_LONGEST_REASON: Final = 500

JsonObject: TypeAlias = Mapping[str, object]
EventLine: TypeAlias = dict[str, object]
"""An event with the keys of a line of an events file."""


class PayloadInvalid(ValueError):
    """A payload that cannot be parsed; the text is the reason and quotes nothing of the payload."""


@dataclass(slots=True)
class ParsedPayload:
    """`lines` are the events of a payload. `problems` are reasons why other parts of it are not
    events; `ignored` counts notifications that are understood and not needed (processed, queued …).
    """

    lines: list[EventLine] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ignored: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedEvent:
    """An event as a provider reports it. Without `occurred_at` it happened at `received_at`."""

    event_id: str
    event_type: str
    received_at: datetime
    occurred_at: str | None = None
    message_id: str | None = None
    provider_message_id: str | None = None
    email: str | None = None
    user_agent: object = None
    ip_address: object = None
    url: object = None
    data: JsonObject = field(default_factory=dict)

    def line(self) -> EventLine:
        """Return the event as a line of an events file; unknown values are omitted."""
        return _without_empty(
            {
                "event_id": self.event_id,
                "event_type": self.event_type,
                "occurred_at": self.occurred_at or self.received_at.isoformat(),
                "message_id": self.message_id,
                "provider_message_id": self.provider_message_id,
                "email": self.email,
                "user_agent": text(self.user_agent),
                "ip_address": text(self.ip_address),
                "url": text(self.url),
                "data": _without_empty(self.data),
            }
        )


def _without_empty(items: JsonObject) -> EventLine:
    return {name: value for name, value in items.items() if value is not None and value != {}}


def json_of(payload: bytes) -> object:
    """Parse the payload as JSON. Raises PayloadInvalid."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise PayloadInvalid(NOT_JSON) from None


def json_object(payload: bytes) -> JsonObject:
    """Parse the payload as a JSON object. Raises PayloadInvalid."""
    value = json_of(payload)
    if not isinstance(value, dict):
        raise PayloadInvalid("the payload is not a JSON object")
    return value


def mapping(value: object) -> JsonObject:
    """Return the value if it is an object, else an empty one: providers omit parts or send null."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[object]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str | None:
    """Return the value if it is a text that is not blank."""
    return value if isinstance(value, str) and value.strip() else None


def our_message_id(*candidates: object) -> str | None:
    """Return the first candidate that is one of our message ids, bare or as a Message-ID header."""
    for candidate in candidates:
        if isinstance(candidate, str) and (match := _OUR_ID.fullmatch(candidate.strip())):
            return match[1].lower()
    return None


def derived_id(*parts: object) -> str:
    """Derive an event id from the facts of an event, for providers that give it none.

    The parts must distinguish two recipients in one second: kind, address, our message id, the
    provider's message id, time.
    """
    joined = "\x1f".join("" if part is None else str(part) for part in parts)
    return sha256(joined.encode()).hexdigest()[:40]


def from_epoch(value: object) -> str | None:
    """Return a time in seconds since 1970 as ISO text; None if the value is not a time."""
    if not isinstance(value, int | float | str):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def reason(value: object) -> str | None:
    """Return a server's response, cut to 500 characters."""
    words = text(value)
    return words.strip()[:_LONGEST_REASON] if words else None
