"""Convert single cells to values that PostgreSQL can store and Python can read back.

A cell that cannot be converted raises CellInvalid with the reason; the row parser sets it aside.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson

from drip_pipeline.domain.conditions.time_zones import find_zone, iana_name
from drip_pipeline.domain.graph.nodes import CONTACT_STATUSES
from drip_pipeline.engine.contacts.column_types import read_time
from drip_pipeline.engine.contacts.consent import status_reason

MAX_JSON_DEPTH: Final = 60
MAX_JSON_CHARACTERS: Final = 1_000_000
_TAG_SEPARATORS: Final = re.compile(r"[,;|]")
_LARGEST_INTEGER: Final = 2**63


class CellInvalid(Exception):
    """A cell that cannot be read; the argument is the reason code."""


def as_text(cell: Any) -> str | None:
    """Convert a typed cell to text; a number without fraction as an integer (phone numbers)."""
    if cell is None or isinstance(cell, list | dict):
        return None
    if isinstance(cell, float):
        if not math.isfinite(cell):
            return None
        return str(int(cell)) if cell.is_integer() else str(cell)
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, int) and abs(cell) >= _LARGEST_INTEGER:
        raise CellInvalid("invalid_value")  # str() of 5,000 digits fails
    return str(cell).strip() or None


def as_value(cell: Any) -> Any:
    """Convert a typed cell to the value of a custom field."""
    if isinstance(cell, str):
        return storable(cell).strip() or None
    if isinstance(cell, Decimal):
        if not cell.is_finite():
            return None
        cell = int(cell) if cell == cell.to_integral_value() else float(cell)
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    checked_json(cell)
    return cell


def storable(text: str) -> str:
    """Return the text if PostgreSQL can store it. Raises CellInvalid."""
    if "\0" in text:
        raise CellInvalid("not_utf8")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise CellInvalid("not_utf8") from None
    return text


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store the text."""
    try:
        storable(text)
    except CellInvalid:
        return False
    return True


def score(text: str) -> int:
    """Read a whole number from 0 to 100."""
    try:
        number = float(text)
    except ValueError:
        raise CellInvalid("invalid_ai_score") from None
    if not 0 <= number <= 100 or not number.is_integer():
        raise CellInvalid("invalid_ai_score")
    return int(number)


def status(text: str) -> str | None:
    """Read a contact's status; None for a word that says who must not get messages."""
    word = text.lower()
    if word in CONTACT_STATUSES:
        return word
    if status_reason(word) is not None or word in ("subscribed", "active"):
        return None
    raise CellInvalid("invalid_status")


def time(text: str, order: str | None) -> datetime:
    """Read a time; see read_time."""
    read = read_time(text, order)
    if read is None:
        raise CellInvalid("invalid_last_interaction")
    return read


def tag_list(cell: Any, text: str | None) -> list[str] | None:
    """Read tags: a typed list, JSON, or texts separated by comma, semicolon or bar.

    In quotation marks a tag can have separators, as Mailchimp writes them.
    """
    if isinstance(cell, list):
        listed = [str(tag) for tag in cell if tag is not None]
    else:
        listed = _split_tags(text or "")
    for tag in listed:
        storable(tag)
    return list(dict.fromkeys(tag.strip() for tag in listed if tag.strip())) or None


def _split_tags(text: str) -> list[str]:
    if text.startswith("[") and text.endswith("]"):
        try:
            parsed = orjson.loads(text)
        except ValueError:
            parsed = None
        if isinstance(parsed, list) and all(isinstance(tag, str | int) for tag in parsed):
            return [str(tag) for tag in parsed]
    if '"' not in text:
        return _TAG_SEPARATORS.split(text)
    separator = next((mark for mark in ",;|" if f'"{mark}' in text), ",")
    try:
        tags = next(csv.reader([text], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return _TAG_SEPARATORS.split(text.replace('"', ""))
    return [tag.strip().strip('"') for tag in tags]


def json_object(cell: Any, text: str | None) -> dict[str, Any]:
    """Read a JSON object that can be read back from the database as it is."""
    if isinstance(cell, dict):
        fields = cell
    elif text is None:
        return {}
    else:
        if len(text) > MAX_JSON_CHARACTERS:
            raise CellInvalid("invalid_custom_fields")
        try:
            fields = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
        except (ValueError, RecursionError):
            raise CellInvalid("invalid_custom_fields") from None
        if not isinstance(fields, dict):
            raise CellInvalid("invalid_custom_fields")
    checked_json(fields)
    return fields


def checked_json(value: Any) -> None:
    """Check that jsonb can store a value, and the engine read it back. Raises CellInvalid."""
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_JSON_DEPTH:
            raise CellInvalid("nested_too_deep")
        if isinstance(item, str):
            storable(item)
        elif isinstance(item, bool) or item is None:
            continue
        elif isinstance(item, int):
            if abs(item) >= _LARGEST_INTEGER:
                raise CellInvalid("invalid_value")
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise CellInvalid("invalid_value")
        elif isinstance(item, Mapping):
            pending += [(each, depth + 1) for pair in item.items() for each in pair]
        elif isinstance(item, list | tuple):
            pending += [(each, depth + 1) for each in item]


def json_text(fields: Mapping[str, Any]) -> str:
    """Return custom fields as JSON. Raises CellInvalid."""
    try:
        return orjson.dumps(fields, default=str).decode()
    except (TypeError, ValueError):
        raise CellInvalid("invalid_value") from None


def shown(cell: Any) -> str:
    """Return the beginning of a cell as text that PostgreSQL can store."""
    try:
        text = str(cell)
    except (ValueError, RecursionError):
        text = f"({type(cell).__name__})"
    return text[:200].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _no_constant(name: str) -> float:
    raise ValueError(name)


def parts_of(texts: Sequence[str | None], indices: Sequence[int]) -> str | None:
    """Join the cells of a name's parts."""
    return " ".join(texts[index] or "" for index in indices).strip() or None


def time_zone(text: str) -> str:
    """Return the name of a time zone: of Windows names and IANA names in any case, the IANA name;
    an offset as it is. Raises CellInvalid for others."""
    if find_zone(text) is None:
        raise CellInvalid("unknown_timezone")
    return iana_name(text) or text
