"""The types of custom columns of text files.

A column becomes numbers or booleans only if each cell prints back as it is written: `9.00`, `1e5`,
`007` and ids of 16 digits stay text. `--types COLUMN=TYPE` decides otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from drip_pipeline.engine.contacts.column_mapping import ColumnPlan
from drip_pipeline.engine.contacts.contact_file import ContactFile

Kind = Literal["integer", "number", "boolean", "date", "text"]
CHOSEN_TYPES: Final = ("text", "integer", "number", "boolean", "date", "date:dmy", "date:mdy")
"""The types of `--types`; a date as day and month, or month and day, where the file has numbers."""

_INTEGER: Final = re.compile(r"0|-?[1-9]\d{0,14}")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})\.\d+")
_ISO_DATE: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_BASIC_DATE: Final = re.compile(r"\d{8}(?:T\d{4,6}Z?)?")
_NUMERIC_DATE: Final = re.compile(
    r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:,?[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([ap]m)?)?",
    re.IGNORECASE,
)
_YES_NO: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "1", "yes", "y", "t", "on"), True),
    **dict.fromkeys(("false", "0", "no", "n", "f", "off"), False),
}
_FIRST_TIME: Final = datetime(1, 1, 3, tzinfo=UTC)
_LAST_TIME: Final = datetime(9999, 12, 29, tzinfo=UTC)


def kinds_of(file: ContactFile, plan: ColumnPlan) -> dict[str, Kind]:
    """Detect the type of each custom column by reading the whole file once."""
    if file.is_typed:
        return {}
    kinds: dict[str, Kind] = {}
    open_columns = {name: index for name, index in plan.custom.items() if name not in plan.types}
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
    if _DECIMAL.fullmatch(text):
        return "number" if repr(float(text)) == text else "text"
    if text in ("true", "false"):
        return "boolean"
    return "date" if _ISO_DATE.fullmatch(text) and read_time(text) is not None else "text"


def _common(one: Kind, other: Kind) -> Kind:
    if one == other:
        return one
    return "number" if {one, other} == {"integer", "number"} else "text"


def detected_reader(kind: Kind) -> Callable[[str], Any] | None:
    """Return the function that converts each cell of a detected type; None: it stays text."""
    return _DETECTED.get(kind)


def chosen_reader(kind: str) -> Callable[[str], Any]:
    """Return the function that converts a cell to a type of CHOSEN_TYPES; it raises ValueError."""
    return _CHOSEN[kind]


def is_type(text: str) -> bool:
    """Return whether `--types` knows the type."""
    return text in CHOSEN_TYPES


def read_time(text: str, order: str | None = None) -> datetime | None:
    """Read an ISO 8601 time, in UTC without an offset; None if it is another text, or a time that
    cannot be read back from the database.

    `order` is dmy or mdy for texts such as 12.03.2024 09:14 or 3/12/2024 2:30 PM.
    """
    try:
        if _ISO_DATE.match(text) or _BASIC_DATE.fullmatch(text):
            time = datetime.fromisoformat(text)
        elif order is not None and (match := _NUMERIC_DATE.fullmatch(text)):
            time = _numeric_time(match, order)
        else:
            return None
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        # Near the ends of the calendar another time zone of a session gives a year of five digits.
        return time if _FIRST_TIME <= time.astimezone(UTC) <= _LAST_TIME else None
    except (ValueError, OverflowError):
        return None


def _numeric_time(match: re.Match[str], order: str) -> datetime:
    first, second, year, hour, minute, seconds, half = match.groups()
    day, month = (first, second) if order == "dmy" else (second, first)
    hours = int(hour or 0)
    if half is not None:
        if not 1 <= hours <= 12:
            raise ValueError(hour)
        hours = hours % 12 + (12 if half.lower() == "pm" else 0)
    clock = (hours, int(minute or 0), int(seconds or 0))
    return datetime(int(year), int(month), int(day), *clock, tzinfo=UTC)


def _as_detected_number(text: str) -> int | float:
    return int(text) if "." not in text else float(text)


def _as_integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise ValueError(text)
    return int(text)


def _as_number(text: str) -> int | float:
    if re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    if not re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?", text):
        raise ValueError(text)
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _as_boolean(text: str) -> bool:
    try:
        return _YES_NO[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _as_date(order: str | None) -> Callable[[str], str]:
    def read(text: str) -> str:
        time = read_time(text, order)
        if time is None:
            raise ValueError(text)
        if _ISO_DATE.match(text):
            return text
        return time.isoformat() if ":" in text else time.date().isoformat()

    return read


_DETECTED: Final[Mapping[str, Callable[[str], Any]]] = {
    "integer": int,
    "number": _as_detected_number,
    "boolean": lambda text: text == "true",
}
_CHOSEN: Final[Mapping[str, Callable[[str], Any]]] = {
    "text": str,
    "integer": _as_integer,
    "number": _as_number,
    "boolean": _as_boolean,
    "date": _as_date(None),
    "date:dmy": _as_date("dmy"),
    "date:mdy": _as_date("mdy"),
}
assert set(_CHOSEN) == set(CHOSEN_TYPES)
assert set(_DETECTED) < set(get_args(Kind))
