"""Parse and validate one line of provider events into the row that the database loads.

Pure functions; the database resolves messages and contacts. Reasons never quote the line, because
lines contain addresses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import md5
from ipaddress import ip_address
from typing import Any, Final
from uuid import UUID
from zlib import crc32

import orjson

from drip_pipeline.db.connection import dump_json
from drip_pipeline.db.events.ingestion import (
    INGESTION_PARTITIONS,
    IdentifiedBy,
    StagedEvent,
    copy_line,
)
from drip_pipeline.domain.events.bounces import BounceClass, classify_bounce
from drip_pipeline.domain.events.user_agents import device_type, is_machine_open, is_scanner
from drip_pipeline.domain.events.vocabulary import (
    CONTACT_EVENT_TYPES,
    EVENT_TYPES,
    OWN_NAME_RULE,
    PROVIDER_EVENT_TYPES,
    is_own_event_name,
    normalize_event_type,
)
from drip_pipeline.domain.identity import is_test_message

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE: Final = timedelta(days=1)
"""Clocks and time zones of providers are off by hours, not by days."""
LARGEST_VALUE: Final = Decimal(10) ** 9
NOT_A_TIME: Final = "occurred_at is not an ISO time"
HOLDS_NUL: Final = "the line holds a NUL character"
LONE_SURROGATE: Final = "the line holds half of a character (a lone surrogate)"
NO_EVENT_NAME: Final = f"event_type is not an event name: {OWN_NAME_RULE}"
OF_TEST_MESSAGE: Final = "the message was a test"
OF_NO_MESSAGE: Final = (
    "event_type is not in the vocabulary; an event with an own name names an address and no message"
)
MOST_DATA_BYTES: Final = 32 * 1024
DATA_TOO_LONG: Final = "data is longer than 32 kB"
MOST_DEPTH: Final = 8
DATA_TOO_DEEP: Final = f"data is nested more than {MOST_DEPTH} deep"
_MOST_NAMES: Final = 10_000

SUPPRESSION_REASONS: Final = ("unsubscribed", "complained", "bounced", "manual")
_SUPPRESSION_REASON: Final[Mapping[str, str]] = {
    "email_unsubscribed": "unsubscribed",
    "email_complained": "complained",
    "sms_opted_out": "unsubscribed",
}
_REFUSALS: Final = frozenset({*_SUPPRESSION_REASON, "email_bounced", "email_suppressed"})
# One of our message ids, bare or as in a Message-ID header: <id@domain>.
_MESSAGE_ID: Final = re.compile(
    # Not re.IGNORECASE, with which it takes three times as long.
    r"<?([\da-fA-F]{8}-?[\da-fA-F]{4}-?[\da-fA-F]{4}-?[\da-fA-F]{4}-?[\da-fA-F]{12})(?:@[^>]*)?>?",
    re.ASCII,
)
# A UTC time with at most the stored precision.
_PLAIN_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)", re.ASCII
)
_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_TEST_IDS: Final = ("642d7465", "642D7465")
"""How the ids of test messages begin: looked at first, because building UUIDs is too slow."""
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
# JSON allows NUL, PostgreSQL does not store it. The backslash must not itself be escaped.
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LONGEST_TEXT: Final = 1_000
_LONGEST_URL: Final = 4_000


def event_key_text(provider: str, event_id: str) -> str:
    """Return `identity.event_key` as hexadecimal text; building UUIDs is too slow for millions."""
    return md5(f"{provider}\x1f{event_id}".encode(), usedforsecurity=False).hexdigest()


class InvalidLine(ValueError):
    """A line that cannot be ingested; the text is the reason."""


@dataclass(slots=True)
class EventParser:
    """Parser of the event lines of one provider. `now` limits their times."""

    provider: str
    now: datetime
    months: set[str] = field(default_factory=set)
    """The months, as 2026-03, of all parsed events; the log needs a partition for each."""
    event_types: set[str] = field(default_factory=set)
    """The types of the events parsed since the caller emptied the set."""
    _types: dict[str, str | None] = field(default_factory=dict)
    _latest: datetime = field(init=False)

    def __post_init__(self) -> None:
        self._latest = self.now + FUTURE_TOLERANCE

    def parse(self, line_number: int, line: Mapping[str, object]) -> StagedEvent:
        """Parse a line. Raises InvalidLine.

        A million lines a minute pass here: fields are read without a call where they usually hold
        nothing, or a text in the usual form.
        """
        get = line.get
        named = get("event_type")
        if type(named) is not str or not (event_type := self._types.get(named, "")):
            event_type = self._event_type(named)
        is_own_name = event_type not in PROVIDER_EVENT_TYPES
        event_id = get("event_id")
        if type(event_id) is not str or not event_id.strip():
            event_id = _event_id(event_id)
        try:
            key = event_key_text(self.provider, event_id)
        except UnicodeEncodeError:  # of an event in memory: JSON cannot hold it
            raise InvalidLine(LONE_SURROGATE) from None
        occurred_at = self._occurred_at(get("occurred_at"))
        named = get("message_id")
        provider_ref = email = campaign = ""
        identified_by: IdentifiedBy = "message"
        if type(named) is str and (match := _MESSAGE_ID.fullmatch(named)):
            message_id = match[1]
        else:
            message_id, provider_ref = _message(named)
            if not message_id:
                identified_by = "provider_id"
                if named := get("provider_message_id"):
                    # The provider's id may have the format of our ids.
                    provider_ref = _text(named, "provider_message_id").strip("<>")
                if not provider_ref:
                    email = _text(get("email"), "email")
                    campaign = _text(get("campaign"), "campaign")
                    if not email:
                        raise InvalidLine("neither message_id nor email is given")
                    identified_by = "campaign" if campaign else "address"
        if message_id.startswith(_TEST_IDS) and is_test_message(UUID(message_id)):
            raise InvalidLine(OF_TEST_MESSAGE)
        if is_own_name and (message_id or provider_ref):
            raise InvalidLine(OF_NO_MESSAGE)
        data = _data(raw) if (raw := get("data")) else {}
        suppression_reason = ""
        if event_type in _REFUSALS:
            suppression_reason = suppression_reason_of(event_type, data)
            if suppression_reason and not email:
                # It counts also if the message is unknown.
                email = _text(get("email"), "email")
        user_agent = device = ""
        is_machine = bool(data) and data.get("machine") in (True, "true")
        if (raw := get("user_agent")) is not None and (user_agent := _text(raw, "user_agent")):
            device, opens, clicks = _traits(user_agent)
            is_machine = (
                is_machine
                or (opens and event_type == "email_opened")
                or (clicks and event_type == "email_clicked")
            )
        if is_machine:
            data["machine"] = True
        if (raw := get("url")) is not None and (url := _text(raw, "url", _LONGEST_URL)):
            data["url"] = url
        value = currency = ""
        if data and (is_own_name or event_type in CONTACT_EVENT_TYPES):
            value, currency = _value(data, is_own_name=is_own_name)
        address = _ip_address(raw, data) if (raw := get("ip_address")) else ""
        location = data.pop("location") if data and isinstance(data.get("location"), dict) else None
        # In the column order of the staging table.
        copy_text = copy_line(
            (
                key,
                str(line_number),
                event_type,
                occurred_at,
                message_id,
                provider_ref,
                email,
                campaign,
                "t" if is_machine else "f",
                suppression_reason,
                value,
                currency,
                user_agent,
                address,
                device,
                _json(location) if location else "",
                _json(data) if data else "{}",
            )
        )
        if "\x00" in copy_text:
            raise InvalidLine(HOLDS_NUL)
        if message_id:
            # The last digit of our message ids is evenly distributed in any notation.
            partition = int(message_id[-1], 16) % INGESTION_PARTITIONS
        else:
            partition = _partition(provider_ref or email)
        self.event_types.add(event_type)
        # Not StagedEvent(…): its constructor, written in Python, takes 2 % of the time of parsing.
        return tuple.__new__(StagedEvent, (line_number, key, identified_by, partition, copy_text))

    def _event_type(self, value: object) -> str:
        if not isinstance(value, str) or not value:
            raise InvalidLine("event_type is missing")
        try:
            event_type = self._types[value]
        except KeyError:
            if len(self._types) >= _MOST_NAMES:
                self._types.clear()
            event_type = self._types[value] = _accepted_type(value)
        if not event_type:
            raise InvalidLine(
                NO_EVENT_NAME
                if event_type is None
                else "event_type is one that only the engine itself writes"
            )
        return event_type

    def _occurred_at(self, value: object) -> str:
        occurred_at = _time(value)
        if occurred_at < EARLIEST:
            raise InvalidLine("occurred_at is before the year 2000")
        if occurred_at > self._latest:
            raise InvalidLine("occurred_at is in the future")
        if type(value) is str and occurred_at.tzinfo is UTC and _PLAIN_TIME.fullmatch(value):
            text = value  # formatting it again would cost a microsecond
        else:
            text = occurred_at.astimezone(UTC).isoformat()
        self.months.add(text[:7])
        return text


def _accepted_type(name: str) -> str | None:
    """Return the event type of events from outside; "" for one of the engine, None for none."""
    event_type = normalize_event_type(name)
    if event_type in EVENT_TYPES:
        return event_type if event_type in PROVIDER_EVENT_TYPES else ""
    return event_type if is_own_event_name(event_type) else None


def _partition(name: str) -> int:
    return (
        crc32(name.replace("-", "").lower().encode(errors="surrogatepass")) % INGESTION_PARTITIONS
    )


def _event_id(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise InvalidLine("event_id is missing")
    return value


def _time(value: object) -> datetime:
    if value is None:
        raise InvalidLine("occurred_at is missing")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InvalidLine(NOT_A_TIME) from None
    if not isinstance(value, datetime):
        raise InvalidLine(NOT_A_TIME)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _message(value: object) -> tuple[str, str]:
    """Return (our message id, the provider's message id); at most one of them is not empty."""
    if not isinstance(value, str) or not (value := value.strip()):
        return "", ""
    match = _MESSAGE_ID.fullmatch(value)
    if match:
        return match[1], ""
    return "", value.strip("<>")[:_LONGEST_TEXT]


def _text(value: object, name: str, longest: int = _LONGEST_TEXT) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidLine(f"{name} is not a text")
    return value.strip()[:longest]


def _data(value: object) -> dict[str, Any]:
    if isinstance(value, (str, bytes)) and value:
        # A Parquet column with JSON as text.
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise InvalidLine("data is not a JSON object") from None
    if not value:
        return {}
    if not isinstance(value, dict):
        raise InvalidLine("data is not a JSON object")
    return {str(name): item for name, item in value.items() if item is not None}


def _json(value: Any) -> str:
    try:
        encoded = dump_json(value)
    except (TypeError, ValueError):
        is_deep = _is_too_deep(value)
        raise InvalidLine(
            DATA_TOO_DEEP if is_deep else "data holds something that JSON cannot"
        ) from None
    if len(encoded) > MOST_DATA_BYTES:
        raise InvalidLine(DATA_TOO_LONG)
    # Most data is flat: the brackets are counted before the levels are.
    if encoded.count(b"{") + encoded.count(b"[") > MOST_DEPTH and _is_too_deep(value):
        raise InvalidLine(DATA_TOO_DEEP)
    text = encoded.decode()
    if "\\u0000" in text and _ESCAPED_NUL.search(text):
        raise InvalidLine(HOLDS_NUL)
    return text


def _is_too_deep(value: object) -> bool:
    """Return whether objects and lists are nested more than MOST_DEPTH levels deep."""
    level = [value]
    for _ in range(MOST_DEPTH):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, (list, tuple)):
                below += item
        level = [item for item in below if isinstance(item, (dict, list, tuple))]
        if not level:
            return False
    return True


@lru_cache(maxsize=4096)
def _traits(user_agent: str) -> tuple[str, bool, bool]:
    """Return the device type, empty if unknown, and whether opens and clicks of this agent are a
    machine's.
    """
    return device_type(user_agent) or "", is_machine_open(user_agent), is_scanner(user_agent)


def suppression_reason_of(event_type: str, data: dict[str, Any]) -> str:
    """Return why the event forbids to write to its recipient; empty for types not in `_REFUSALS`.

    Sets `data["bounce_type"]` of a bounce to its class, so that the log can be counted.
    """
    if event_type == "email_bounced":
        return "bounced" if _bounce_class(data) is BounceClass.PERMANENT else ""
    if event_type == "email_suppressed":
        # The provider has the address on its list.
        reason = data.get("suppression_reason")
        return reason if reason in SUPPRESSION_REASONS else ""
    return _SUPPRESSION_REASON.get(event_type, "")


def _bounce_class(data: dict[str, Any]) -> BounceClass:
    reported = data.get("bounce_type")
    kind = classify_bounce(
        words=(reported, data.get("bounce_subtype")),
        status=data.get("status"),
        code=data.get("code"),
        text=data.get("reason") or data.get("response") or data.get("diagnostic_code"),
    )
    # A bounce of which nothing else is known is one of the address.
    kind = kind or BounceClass.PERMANENT
    if reported and str(reported).lower() != kind:
        data.setdefault("bounce_subtype", reported)
    data["bounce_type"] = kind.value
    return kind


def _value(data: dict[str, Any], *, is_own_name: bool) -> tuple[str, str]:
    """Return the amount and currency of an event; normalizes `data["value"]`, so that the log can
    be summed. Of an event with an own name it stays as it is, and need not be an amount.
    """
    if "value" not in data:
        return "", ""
    rounded = _amount(data["value"])
    if rounded is None:
        if is_own_name:
            return "", ""
        raise InvalidLine("data.value is not an amount")
    if not is_own_name:
        data["value"] = float(rounded)
    currency = data.get("currency")
    is_code = isinstance(currency, str) and _CURRENCY.fullmatch(currency.strip().upper())
    return rounded, currency.strip().upper() if isinstance(currency, str) and is_code else ""


def _amount(value: object) -> str | None:
    """Return an amount with two decimals, None if the value is no amount."""
    if isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
        # Not abs(amount), which rounds to the context's precision and overflows for 1e1000000000.
        if not amount.is_finite() or not -LARGEST_VALUE <= amount <= LARGEST_VALUE:
            return None
        return f"{amount:.2f}"
    except (ArithmeticError, ValueError):
        return None


def _ip_address(value: object, data: dict[str, Any]) -> str:
    if not isinstance(value, str) or not value:
        return ""
    if _is_ip_address(value):
        return value
    # An invalid address does not reject the event; the text is kept in the data.
    data["ip_address"] = value[:_LONGEST_TEXT]
    return ""


def _is_ip_address(value: str) -> bool:
    if _IPV4.fullmatch(value):
        return True
    try:
        ip_address(value)
    except ValueError:
        return False
    return "%" not in value  # PostgreSQL does not store IPv6 scope ids
