"""Field types of local times: a time of day, days of the week, and the time zone that they mean."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.local_time import WEEKDAYS
from drip_pipeline.domain.conditions.time_zones import find_zone, iana_name

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Weekday, ...]] = get_args(Weekday)
END_OF_DAY: Final = "24:00"
CONTACT_ZONE: Final = "contact"
WORKSPACE_ZONE_NAME: Final = "workspace"
_TIME: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def _time_of_day(value: object) -> object:
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise PydanticCustomError(
            "time_of_day", "{value} is not a time of day such as 09:00", {"value": repr(value)}
        )
    return f"{int(match[1]):02}:{match[2]}"


def _end_time(value: object) -> object:
    if isinstance(value, str) and value.strip() == END_OF_DAY:
        return END_OF_DAY
    return _time_of_day(value)


def _days(value: object) -> object:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise PydanticCustomError("weekday", "must be a list of days such as [mon, tue]")
    numbers = set()
    for name in names:
        text = name.strip().lower() if isinstance(name, str) else name
        matching = [n for n, day in enumerate(WEEKDAYS) if text in (day, day[:3])]
        if not matching:
            raise PydanticCustomError(
                "weekday",
                "{value} is not a day of the week; days are mon, tue, wed, thu, fri, sat, sun",
                {"value": repr(name)},
            )
        numbers.add(matching[0])
    return tuple(DAYS[n] for n in sorted(numbers))


def _zone_choice(value: object) -> object:
    text = value.strip() if isinstance(value, str) else ""
    if text.lower() in (CONTACT_ZONE, WORKSPACE_ZONE_NAME):
        return text.lower()
    if find_zone(text) is None:
        raise PydanticCustomError(
            "zone_unknown",
            "{value} is not a time zone; use contact, workspace, or an IANA name such as"
            " Europe/Berlin",
            {"value": repr(value)},
        )
    return iana_name(text) or text


TimeOfDay = Annotated[
    str,
    BeforeValidator(_time_of_day),
    WithJsonSchema({"type": "string", "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$"}),
]
EndTime = Annotated[
    str,
    BeforeValidator(_end_time),
    WithJsonSchema({"type": "string", "pattern": "^(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)$"}),
]
Days = Annotated[tuple[Weekday, ...], BeforeValidator(_days)]
ZoneChoice = Annotated[str, BeforeValidator(_zone_choice)]
"""`contact` (the contact's time zone, else the workspace's), `workspace`, or a time zone."""


def depends_on_contact(choice: str | None) -> bool:
    """Return whether the zone of this choice must be looked up: the contact's or workspace's."""
    return choice in (CONTACT_ZONE, WORKSPACE_ZONE_NAME)


def as_time(text: str) -> time:
    """Return a valid time of day; not for `24:00`."""
    return time.fromisoformat(text)


def day_numbers(days: tuple[Weekday, ...]) -> frozenset[int]:
    """Return the days as numbers, 0 for Monday."""
    return frozenset(DAYS.index(day) for day in days)
