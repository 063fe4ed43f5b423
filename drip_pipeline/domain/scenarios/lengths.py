"""Lengths of time as scenario files write them: `2 hours`, `1 day 12 hours`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.fields import MAX_WAIT_SECONDS, UNIT_SECONDS

_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(second|minute|hour|day|week)s?,? ?", re.ASCII)
_LONGEST_TEXT: Final = 100


def _length(value: object) -> object:
    if isinstance(value, Mapping):
        unit = str(value.get("unit", "hours")).strip().lower()
        value = f"{value.get('value')} {unit}"
    if value == 0:
        return timedelta()
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
        raise _no_length()
    text, position, seconds = value.strip().lower(), 0, 0.0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise _no_length()
        seconds += float(part[1]) * UNIT_SECONDS[f"{part[2]}s"]
        position = part.end()
    if not text:
        raise _no_length()
    if seconds > MAX_WAIT_SECONDS:
        raise PydanticCustomError("length_too_long", "is longer than ten years")
    return timedelta(seconds=seconds)


def _no_length() -> PydanticCustomError:
    return PydanticCustomError(
        "length_invalid", "is not a length of time such as `2 hours` or `1 day 12 hours`"
    )


Length = Annotated[
    timedelta,
    BeforeValidator(_length),
    WithJsonSchema({"type": "string", "description": "As `2 hours` or `1 day 12 hours`."}),
]
"""A length of time, at most ten years."""
