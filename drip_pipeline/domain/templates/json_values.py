"""Values of templates as JSON: for payloads of webhooks, and for the filter `json`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from liquid import Undefined
from liquid.stringify import to_liquid_string

_LARGEST_INTEGER: Final = 2**63 - 1


def json_value(value: object) -> object:
    """Return a value of Liquid as JSON has it: times in ISO 8601, a missing variable as None, other
    objects as Liquid prints them. Integers beyond 64 bits are texts, because most readers of JSON
    would change them.
    """
    if value is None or isinstance(value, (bool, Undefined)):
        return bool(value) if isinstance(value, bool) else None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST_INTEGER else str(value)
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
        return json_value(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return _items(value)
    return str(to_liquid_string(value, autoescape=False))


def _items(values: Iterable[object]) -> list[object]:
    return [json_value(item) for item in values]


def to_json(value: object, indent: object = None) -> str:
    """Return a value as JSON text: the filter `json`."""
    spaces = indent if isinstance(indent, int) else None
    return json.dumps(json_value(value), ensure_ascii=False, indent=spaces)
