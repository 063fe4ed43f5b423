"""One line of provider events: what it must hold, and the row it becomes. Pure; whether the message
or the person exists is for the database to say. Reasons never quote the line, since lines hold
addresses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from hashlib import md5
from ipaddress import ip_address
from typing import Any, Final, Literal, NamedTuple
from zlib import crc32

import orjson

from drip_pipeline.db.connection import dump_json
from drip_pipeline.db.events.ingestion import INGESTION_PARTITIONS, copy_line
from drip_pipeline.domain.events.user_agents import device_type, is_machine_open, is_scanner
from drip_pipeline.domain.events.vocabulary import (
    CONTACT_EVENT_TYPES,
    EVENT_TYPES,
    GOAL_EVENT_TYPES,
    PROVIDER_EVENT_TYPES,
    normalize_event_type,
)

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
FUTURE_TOLERANCE: Final = timedelta(days=1)
"""Clocks and time zones of providers are wrong by hours, not by days."""
LARGEST_VALUE: Final = Decimal(10) ** 9
NOT_A_TIME: Final = "occurred_at is not an ISO time"
HOLDS_NUL: Final = "the line holds a NUL character"

_TRANSIENT_BOUNCES: Final = frozenset(
    {"soft", "softbounce", "transient", "temporary", "undetermined", "block", "blocked"}
)
# A message's own id, bare or as it stands on the wire: <id@domain>.
_MESSAGE_ID: Final = re.compile(
    r"<?([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})(?:@[^>]*)?>?",
    re.IGNORECASE,
)
_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
# JSON allows it, PostgreSQL does not store it. The backslash before it must not itself be escaped.
# escaped.
_ESCAPED_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LONGEST_TEXT: Final = 1_000
_LONGEST_URL: Final = 4_000


Named = Literal["message", "provider_id", "campaign", "address"]
"""By what a line says whose it is: our message id, the provider's own, an address with a campaign,
an address alone.
"""


class EventRow(NamedTuple):
    """A line that may be taken: its event's key, by what it names its person, the lane that all
    lines of that name go along, the row as the database is to load it, and whether its event is
    one that a campaign may have for its goal.
    """

    event_key: str
    named_by: Named
    lane: int
    copy_text: str
    may_convert: bool = False


def event_key_text(provider: str, event_id: str) -> str:
    """`identity.event_key` as a text, without the detour over a UUID: a file has millions."""
    return md5(f"{provider}\x1f{event_id}".encode(), usedforsecurity=False).hexdigest()


class BadLine(ValueError):
    """A line that cannot be taken; its text is the reason."""


@dataclass(slots=True)
class LineReader:
    """Turns lines of one provider into rows. `read` raises BadLine; `now` bounds their times."""

    provider: str
    now: datetime
    months: set[str] = field(default_factory=set)
    """The months, as 2026-03, that rows were read for; the log needs a partition for each."""
    _types: dict[str, str | None] = field(default_factory=dict)
    _latest: datetime = field(init=False)

    def __post_init__(self) -> None:
        self._latest = self.now + FUTURE_TOLERANCE

    def read(self, line_number: int, line: Mapping[str, Any]) -> EventRow:
        """The row of a line."""
        get = line.get
        event_type = self._event_type(get("event_type"))
        key = event_key_text(self.provider, _event_id(get("event_id")))
        occurred_at = self._occurred_at(get("occurred_at"))
        message_id, provider_ref = _message(get("message_id"))
        if not message_id and (named := get("provider_message_id")):
            # A provider's own id may look like one of ours.
            provider_ref = _text(named, "provider_message_id").strip("<>")
        email = campaign = ""
        named_by: Named = "message" if message_id else "provider_id"
        if not (message_id or provider_ref):
            email = _text(get("email"), "email")
            campaign = _text(get("campaign"), "campaign")
            if not email:
                raise BadLine("neither message_id nor email is given")
            named_by = "campaign" if campaign else "address"
        data = _data(get("data"))
        user_agent = _text(get("user_agent"), "user_agent")
        is_machine = _is_machine(event_type, user_agent, data)
        if is_machine:
            data["machine"] = True
        if url := _text(get("url"), "url", _LONGEST_URL):
            data["url"] = url
        value, currency = _value(event_type, data)
        address = _ip_address(get("ip_address"), data)
        location = data.pop("location") if isinstance(data.get("location"), dict) else None
        # In the order of the staging table.
        text = copy_line(
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
                "t" if _is_permanent(event_type, data) else "f",
                value,
                currency,
                user_agent,
                address,
                (device_type(user_agent) or "") if user_agent else "",
                _json(location) if location else "",
                _json(data) if data else "{}",
            )
        )
        if "\x00" in text:
            raise BadLine(HOLDS_NUL)
        lane = _lane(message_id, provider_ref or email)
        return EventRow(key, named_by, lane, text, event_type in GOAL_EVENT_TYPES)

    def _event_type(self, given: Any) -> str:
        if not isinstance(given, str) or not given:
            raise BadLine("event_type is missing")
        try:
            known = self._types[given]
        except KeyError:
            name = normalize_event_type(given)
            known = self._types[given] = name if name in EVENT_TYPES else None
        if known is None:
            raise BadLine("event_type is not in the vocabulary")
        if known not in PROVIDER_EVENT_TYPES:
            raise BadLine("event_type is one that only the engine itself writes")
        return known

    def _occurred_at(self, given: Any) -> str:
        moment = _moment(given)
        if moment < EARLIEST:
            raise BadLine("occurred_at is before the year 2000")
        if moment > self._latest:
            raise BadLine("occurred_at is in the future")
        # Writing it anew would cost a microsecond more.
        is_plain = isinstance(given, str) and moment.tzinfo is UTC and _is_plain(given)
        text: str = given if is_plain else moment.astimezone(UTC).isoformat()
        self.months.add(text[:7])
        return text


def _lane(message_id: str, name: str) -> int:
    # Of our own ids the last digit, however they are written: they are as good as random.
    if message_id:
        return int(message_id[-1], 16) % INGESTION_PARTITIONS
    return crc32(name.replace("-", "").lower().encode()) % INGESTION_PARTITIONS


def _is_plain(given: str) -> bool:
    """Whether an ISO time of UTC is written as 2026-03-02T09:00:00.123Z or with +00:00, no finer
    than is stored.
    """
    return (
        20 <= len(given) <= (27 if given[-1] == "Z" else 32)
        and given[4] == given[7] == "-"
        and given[10] == "T"
        and given[13] == given[16] == ":"
        and given[19] != ","
    )


def _event_id(given: Any) -> str:
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if not isinstance(given, str) or not given.strip():
        raise BadLine("event_id is missing")
    return given


def _moment(given: Any) -> datetime:
    if given is None:
        raise BadLine("occurred_at is missing")
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given.strip())
        except ValueError:
            raise BadLine(NOT_A_TIME) from None
    if not isinstance(given, datetime):
        raise BadLine(NOT_A_TIME)
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given


def _message(given: Any) -> tuple[str, str]:
    """(the engine's message id, the provider's): at most one of them is not empty."""
    if not isinstance(given, str) or not (given := given.strip()):
        return "", ""
    found = _MESSAGE_ID.fullmatch(given)
    if found:
        return found[1], ""
    return "", given.strip("<>")[:_LONGEST_TEXT]


def _text(given: Any, name: str, longest: int = _LONGEST_TEXT) -> str:
    if given is None:
        return ""
    if not isinstance(given, str):
        raise BadLine(f"{name} is not a text")
    return given.strip()[:longest]


def _data(given: Any) -> dict[str, Any]:
    if isinstance(given, (str, bytes)) and given:
        # A column of Parquet that holds JSON as text.
        try:
            given = orjson.loads(given)
        except orjson.JSONDecodeError:
            raise BadLine("data is not a JSON object") from None
    if not given:
        return {}
    if not isinstance(given, dict):
        raise BadLine("data is not a JSON object")
    return {str(name): value for name, value in given.items() if value is not None}


def _json(value: Any) -> str:
    try:
        text = dump_json(value).decode()
    except (TypeError, ValueError):
        raise BadLine("data holds something that JSON cannot") from None
    if "\\u0000" in text and _ESCAPED_NUL.search(text):
        raise BadLine(HOLDS_NUL)
    return text


def _is_machine(event_type: str, user_agent: str, data: Mapping[str, Any]) -> bool:
    if data.get("machine") in (True, "true"):
        return True
    if not user_agent:
        return False
    if event_type == "email_opened":
        return is_machine_open(user_agent)
    return event_type == "email_clicked" and is_scanner(user_agent)


def _is_permanent(event_type: str, data: Mapping[str, Any]) -> bool:
    """Whether the address is no good: a bounce that is not said to be passing."""
    if event_type != "email_bounced":
        return False
    kind = str(data.get("bounce_type", "")).lower().replace("_", "").replace("-", "")
    return kind not in _TRANSIENT_BOUNCES


def _value(event_type: str, data: dict[str, Any]) -> tuple[str, str]:
    """What the event was worth, with its currency; written back in one form, so that the log can be
    summed.
    """
    if event_type not in CONTACT_EVENT_TYPES or "value" not in data:
        return "", ""
    given = data["value"]
    try:
        value = Decimal(str(given)) if not isinstance(given, bool) else Decimal("NaN")
    except InvalidOperation:
        raise BadLine("data.value is not an amount") from None
    if not value.is_finite() or abs(value) > LARGEST_VALUE:
        raise BadLine("data.value is not an amount")
    rounded = f"{value:.2f}"
    data["value"] = float(rounded)
    currency = data.get("currency")
    is_code = isinstance(currency, str) and _CURRENCY.fullmatch(currency.strip().upper())
    return rounded, currency.strip().upper() if isinstance(currency, str) and is_code else ""


def _ip_address(given: Any, data: dict[str, Any]) -> str:
    if not isinstance(given, str) or not given:
        return ""
    if _is_ip_address(given):
        return given
    # Not worth losing the event; kept as it came.
    data["ip_address"] = given[:_LONGEST_TEXT]
    return ""


def _is_ip_address(given: str) -> bool:
    if _IPV4.fullmatch(given):
        return True
    try:
        ip_address(given)
    except ValueError:
        return False
    return "%" not in given  # PostgreSQL knows no scopes
