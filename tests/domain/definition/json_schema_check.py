"""A judge of JSON values by JSON Schema, for the keywords that our schema uses.

Raises on a keyword it does not know, so that it cannot pass a value without having looked.
"""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
_SAYS_NOTHING = {"title", "description", "default", "$schema", "$defs", "format", "discriminator"}


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> list[str]:
    """Where and how `value` breaks `schema`; empty when it fits."""
    found: list[str] = []
    for keyword, rule in schema.items():
        if keyword in _SAYS_NOTHING:
            continue
        judge = _JUDGES.get(keyword)
        if judge is None:
            raise NotImplementedError(f"JSON Schema keyword {keyword} at {path}")
        found += judge(value, rule, root, path, schema)
    return found


def _ref(value: Any, rule: str, root: Any, path: str, _: Any) -> list[str]:
    return faults(value, root["$defs"][rule.removeprefix("#/$defs/")], root, path)


def _type(value: Any, rule: str, _r: Any, path: str, _: Any) -> list[str]:
    if rule in ("number", "integer"):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        fits = fits and (rule == "number" or float(value).is_integer())
    else:
        fits = isinstance(value, _TYPES[rule])
    return [] if fits else [f"{path} is no {rule}"]


def _properties(value: Any, rule: Any, root: Any, path: str, _: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    return [
        fault
        for key, schema in rule.items()
        if key in value
        for fault in faults(value[key], schema, root, f"{path}.{key}")
    ]


def _additional(value: Any, rule: Any, root: Any, path: str, schema: Any) -> list[str]:
    if not isinstance(value, dict) or rule is True:
        return []
    extra = [key for key in value if key not in schema.get("properties", {})]
    if rule is False:
        return [f"{path}.{key} is not allowed" for key in extra]
    return [f for key in extra for f in faults(value[key], rule, root, f"{path}.{key}")]


def _any_of(value: Any, rule: Any, root: Any, path: str, _: Any) -> list[str]:
    tries = [faults(value, schema, root, path) for schema in rule]
    return [] if any(not found for found in tries) else [f"{path} fits none: {tries}"]


def _length(least: bool) -> Any:
    def judge(value: Any, rule: int, _r: Any, path: str, _: Any) -> list[str]:
        if not isinstance(value, str | list):
            return []
        fits = len(value) >= rule if least else len(value) <= rule
        return [] if fits else [f"{path} has a length of {len(value)}"]

    return judge


def _bound(compare: Any) -> Any:
    def judge(value: Any, rule: float, _r: Any, path: str, _: Any) -> list[str]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return []
        return [] if compare(value, rule) else [f"{path} is out of bounds: {value}"]

    return judge


_JUDGES: dict[str, Any] = {
    "$ref": _ref,
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": lambda v, rule, root, path, _: [
        fault
        for key in (v if isinstance(v, dict) else ())
        for fault in faults(key, rule, root, path)
    ],
    "required": lambda v, rule, _r, path, _: [
        f"{path}.{key} is missing" for key in rule if isinstance(v, dict) and key not in v
    ],
    "items": lambda v, rule, root, path, _: [
        fault
        for index, item in enumerate(v if isinstance(v, list) else ())
        for fault in faults(item, rule, root, f"{path}[{index}]")
    ],
    "anyOf": _any_of,
    "oneOf": _any_of,
    "enum": lambda v, rule, _r, path, _: [] if v in rule else [f"{path} is none of {rule}"],
    "const": lambda v, rule, _r, path, _: [] if v == rule else [f"{path} is not {rule}"],
    "pattern": lambda v, rule, _r, path, _: (
        [] if not isinstance(v, str) or re.search(rule, v) else [f"{path} does not match {rule}"]
    ),
    "minLength": _length(least=True),
    "minItems": _length(least=True),
    "maxLength": _length(least=False),
    "maxItems": _length(least=False),
    "minimum": _bound(lambda v, rule: v >= rule),
    "maximum": _bound(lambda v, rule: v <= rule),
    "exclusiveMinimum": _bound(lambda v, rule: v > rule),
    "exclusiveMaximum": _bound(lambda v, rule: v < rule),
}
