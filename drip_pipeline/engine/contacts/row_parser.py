"""Parse one row of a file into a contact, or the reason of its rejection. Pure functions.

Texts are trimmed, and empty ones count as missing. The cells of a CSV column become numbers or
booleans only if the whole column has that format, so that a code like `007` is preserved.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Literal

import orjson

from drip_pipeline.db.contacts.contacts import StagedContact
from drip_pipeline.domain.graph.nodes import CONTACT_STATUSES
from drip_pipeline.engine.contacts.column_mapping import ColumnPlan
from drip_pipeline.engine.contacts.file_formats import ContactFile

Kind = Literal["integer", "number", "boolean", "text"]

_ADDRESS: Final = re.compile(
    r"""[^\s@<>(),;:"\[\]\\]{1,64}@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_](?:[\w-]*[^\W_])"""
)
MAX_ADDRESS_CHARACTERS: Final = 254
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?(?:[eE][-+]?\d{1,2})?")
_BOOLEANS: Final = {"true": True, "false": False}
_YES_NO: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "1", "yes", "y", "t"), True),
    **dict.fromkeys(("false", "0", "no", "n", "f"), False),
}
_READ_AS: Final[Mapping[Kind, Callable[[str], Any]]] = {
    "integer": int,
    "number": float,
    "boolean": lambda text: _BOOLEANS[text.lower()],
}


class Rejected(Exception):
    """A rejected row; the argument is the reason code."""


def is_address(text: str) -> bool:
    """Return whether the text has the format of an email address. Existence is not checked."""
    return (
        len(text) <= MAX_ADDRESS_CHARACTERS
        and _ADDRESS.fullmatch(text) is not None
        and ".." not in text
        and not text.startswith(".")
        and ".@" not in text
    )


def kinds_of(file: ContactFile, plan: ColumnPlan) -> dict[str, Kind]:
    """Detect the type of each custom column by reading the whole file once."""
    if file.is_typed:
        return {}
    kinds: dict[str, Kind] = {}
    open_columns = dict(plan.custom)
    for _, cells in file.lines():
        if isinstance(cells, str):
            continue
        for name in [n for n in open_columns if kinds.get(n) == "text"]:
            del open_columns[name]
        if not open_columns:
            break
        for name, index in open_columns.items():
            text = cells[index].strip()
            if text:
                kind = _kind_of(text)
                kinds[name] = _common(kinds.get(name, kind), kind)
    return {name: kinds.get(name, "text") for name in plan.custom}


def _kind_of(text: str) -> Kind:
    if _INTEGER.fullmatch(text):
        return "integer"
    if _NUMBER.fullmatch(text):
        return "number"
    return "boolean" if text.lower() in _BOOLEANS else "text"


def _common(one: Kind, other: Kind) -> Kind:
    if one == other:
        return one
    return "number" if {one, other} == {"integer", "number"} else "text"


class RowReader:
    """Parser of the rows of one file."""

    def __init__(self, plan: ColumnPlan, kinds: Mapping[str, Kind], *, is_typed: bool) -> None:
        self._plan = plan
        self._is_typed = is_typed
        self._custom: list[tuple[str, int, Callable[[str], Any] | None]] = [
            (name, index, _READ_AS.get(kinds.get(name, "text")))
            for name, index in plan.custom.items()
        ]
        fields = plan.fields
        self._email = fields.get("email")
        self._name = fields.get("name")
        self._name_parts = [
            plan.custom[part] for part in ("first_name", "last_name") if part in plan.custom
        ]
        self._texts = [fields.get(name) for name in ("company", "phone", "job_title")]
        self._score = fields.get("ai_score")
        self._status = fields.get("status")
        self._tags = fields.get("tags")
        self._last_interaction = fields.get("last_interaction")
        self._unsubscribed = fields.get("unsubscribed")
        self._custom_fields = fields.get("custom_fields")

    def read(self, line: int, row: int, cells: Sequence[Any]) -> StagedContact | str:
        """Parse a row, whose number `row` counts from 1. Returns the reason if it is rejected."""
        try:
            return self._read(line, row, cells)
        except Rejected as rejected:
            return str(rejected)

    def _read(self, line: int, row: int, cells: Sequence[Any]) -> StagedContact:
        if self._is_typed:
            texts = [_text(cell) for cell in cells]
        else:
            texts = [cell.strip() or None for cell in cells]
        _refuse_unstorable(texts)
        name = _at(texts, self._name)
        if name is None and self._name_parts:
            name = " ".join(texts[part] or "" for part in self._name_parts).strip() or None
        company, phone, job_title = (_at(texts, index) for index in self._texts)
        return StagedContact(
            line,
            self._address(row, texts),
            name,
            company,
            phone,
            job_title,
            _score(_at(texts, self._score)),
            _status(_at(texts, self._status)),
            self._tag_list(cells, texts),
            _json(self._fields(cells, texts)),
            _time(_at(texts, self._last_interaction)),
            _yes(_at(texts, self._unsubscribed)),
        )

    def _address(self, row: int, texts: Sequence[str | None]) -> str:
        address = _at(texts, self._email)
        if address is None and self._plan.template is not None:
            address = self._plan.template.address(row, texts)
        if address is None:
            raise Rejected("no_email")
        if not is_address(address):
            raise Rejected("invalid_email")
        return address.lower()

    def _tag_list(self, cells: Sequence[Any], texts: Sequence[str | None]) -> list[str] | None:
        if self._tags is None:
            return None
        cell = cells[self._tags]
        if isinstance(cell, list):
            listed = [str(tag) for tag in cell if tag is not None]
        else:
            listed = (texts[self._tags] or "").split(",")
        _refuse_unstorable(listed)
        return list(dict.fromkeys(tag.strip() for tag in listed if tag.strip())) or None

    def _fields(self, cells: Sequence[Any], texts: Sequence[str | None]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if self._custom_fields is not None:
            fields |= _object(cells[self._custom_fields], texts[self._custom_fields])
        if self._is_typed:
            for name, index, _ in self._custom:
                value = _value(cells[index])
                if value is not None:
                    fields[name] = value
        else:
            for name, index, read_as in self._custom:
                text = texts[index]
                if text is not None:
                    fields[name] = text if read_as is None else read_as(text)
        return fields


def _at(texts: Sequence[str | None], index: int | None) -> str | None:
    return None if index is None else texts[index]


def _text(cell: Any) -> str | None:
    """Convert a typed cell to text; a number without fraction as an integer (phone numbers)."""
    if cell is None or isinstance(cell, list | dict):
        return None
    if isinstance(cell, float):
        if not math.isfinite(cell):
            return None
        return str(int(cell)) if cell.is_integer() else str(cell)
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell).strip() or None


def _value(cell: Any) -> Any:
    """Convert a typed cell to the value of a custom field."""
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, Decimal):
        return int(cell) if cell == cell.to_integral_value() else float(cell)
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell


def _json(fields: Mapping[str, Any]) -> str:
    try:
        text = orjson.dumps(fields, default=str).decode()
    except (TypeError, ValueError):  # an integer of more than 64 bits, for one
        raise Rejected("invalid_value") from None
    if "\\u0000" in text and _holds_nul(fields):
        raise Rejected("not_utf8")
    return text


def _holds_nul(value: Any) -> bool:
    """Return whether a value contains NUL, which JSON allows and PostgreSQL cannot store."""
    if isinstance(value, Mapping):
        return any(_holds_nul(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return any(map(_holds_nul, value))
    return "\0" in str(value)


def _refuse_unstorable(texts: Sequence[str | None]) -> None:
    joined = "".join(text for text in texts if text)
    if "\0" in joined:
        raise Rejected("not_utf8")
    if not joined.isascii():
        try:
            joined.encode()
        except UnicodeEncodeError:
            raise Rejected("not_utf8") from None


def _score(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        raise Rejected("invalid_ai_score") from None
    if not 0 <= number <= 100 or not number.is_integer():
        raise Rejected("invalid_ai_score")
    return int(number)


def _status(text: str | None) -> str | None:
    if text is None:
        return None
    status = text.lower()
    if status not in CONTACT_STATUSES:
        raise Rejected("invalid_status")
    return status


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected("invalid_last_interaction") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _yes(text: str | None) -> bool:
    if text is None:
        return False
    try:
        return _YES_NO[text.lower()]
    except KeyError:
        # An unreadable value may mean unsubscribed, so the contact is rejected.
        raise Rejected("invalid_unsubscribed") from None


def _object(cell: Any, text: str | None) -> dict[str, Any]:
    if isinstance(cell, dict):
        return cell
    if text is None:
        return {}
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise Rejected("invalid_custom_fields")
    return fields
