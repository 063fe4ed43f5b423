"""Validate JSON values by JSON Schema, for the keywords of the campaign file's schema.

Raises NotImplementedError for other keywords, so that no rule is skipped.
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
_ANNOTATIONS = {"title", "description", "default", "$schema", "$defs", "format", "discriminator"}


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> list[str]:
    """Return the violations of `schema` in `value`; empty if it is valid."""
    violations: list[str] = []
    for keyword, rule in schema.items():
        if keyword in _ANNOTATIONS:
            continue
        validator = _VALIDATORS.get(keyword)
        if validator is None:
            raise NotImplementedError(f"JSON Schema keyword {keyword} at {path}")
        violations += validator(value, rule, root, path, schema)
    return violations


def _ref(value: Any, rule: str, root: Any, path: str, _: Any) -> list[str]:
    return faults(value, root["$defs"][rule.removeprefix("#/$defs/")], root, path)


def _type(value: Any, rule: str, _r: Any, path: str, _: Any) -> list[str]:
    if rule in ("number", "integer"):
        is_valid = isinstance(value, int | float) and not isinstance(value, bool)
        is_valid = is_valid and (rule == "number" or float(value).is_integer())
    else:
        is_valid = isinstance(value, _TYPES[rule])
    return [] if is_valid else [f"{path} is not a {rule}"]


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
    attempts = [faults(value, schema, root, path) for schema in rule]
    return (
        []
        if any(not violations for violations in attempts)
        else [f"{path} is_valid none: {attempts}"]
    )


def _length(is_minimum: bool) -> Any:
    def validator(value: Any, rule: int, _r: Any, path: str, _: Any) -> list[str]:
        if not isinstance(value, str | list):
            return []
        is_valid = len(value) >= rule if is_minimum else len(value) <= rule
        return [] if is_valid else [f"{path} has a length of {len(value)}"]

    return validator


def _bound(compare: Any) -> Any:
    def validator(value: Any, rule: float, _r: Any, path: str, _: Any) -> list[str]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return []
        return [] if compare(value, rule) else [f"{path} is out of bounds: {value}"]

    return validator


_VALIDATORS: dict[str, Any] = {
    "$ref": _ref,
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": lambda v, rule, root, path, _: [
        fault
        for key in (v if isinstance(v, dict) else ())
        for fault in faults(key, rule, root, path)
    ],
    "patternProperties": lambda v, rule, root, path, _: [
        fault
        for pattern, schema in rule.items()
        for key, item in (v.items() if isinstance(v, dict) else ())
        if re.search(pattern, key)
        for fault in faults(item, schema, root, f"{path}.{key}")
    ],
    "minProperties": lambda v, rule, _r, path, _: (
        [f"{path} has too few keys"] if isinstance(v, dict) and len(v) < rule else []
    ),
    "maxProperties": lambda v, rule, _r, path, _: (
        [f"{path} has too many keys"] if isinstance(v, dict) and len(v) > rule else []
    ),
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
    "minLength": _length(is_minimum=True),
    "minItems": _length(is_minimum=True),
    "maxLength": _length(is_minimum=False),
    "maxItems": _length(is_minimum=False),
    "minimum": _bound(lambda v, rule: v >= rule),
    "maximum": _bound(lambda v, rule: v <= rule),
    "exclusiveMinimum": _bound(lambda v, rule: v > rule),
    "exclusiveMaximum": _bound(lambda v, rule: v < rule),
}
