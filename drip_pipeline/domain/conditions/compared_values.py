"""The values that conditions compare, as JSON for the event log, so that a decision can be
explained later.

Of a contact's name, addresses and phone number nothing is recorded, whatever compares them; an
address or a number inside of another text is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson

from drip_pipeline.domain.conditions.comparisons import day_of
from drip_pipeline.domain.conditions.conditions import Condition, ConditionType, ContactAttributes
from drip_pipeline.domain.conditions.field_names import field_name, read_field
from drip_pipeline.domain.conditions.occurrences import Occurrence
from drip_pipeline.domain.conditions.relative_days import depends_on_day
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.run_variables import value_at
from drip_pipeline.redaction import redact

COMPARED: Final = "compared"
"""The key of an event's data under which the values are logged."""
TAGS: Final = "tags"
LOCAL_TIME: Final = "local_time"
TODAY: Final = "today"
OCCURRED_AT: Final = "occurred_at"

Reader = Callable[[ContactAttributes], str]
"""Returns the values that decided about one contact, as a JSON object."""

_LONGEST_TEXT: Final = 200
_MOST_MEMBERS: Final = 20
_PERSONAL_PARTS: Final = frozenset(
    {"email", "mail", "phone", "mobile", "telephone", "firstname", "lastname", "fullname"}
)
_PERSONAL_NAMES: Final = frozenset(
    {"name", "first_name", "last_name", "full_name", "contact_name", "given_name", "surname"}
    | {"family_name", "e_mail", "address", "recipient"}
)


def is_personal(name: str) -> bool:
    """Return whether a field or property is a person's name, address or phone number."""
    last = name.rpartition(".")[2].strip().lower().replace("-", "_").replace(" ", "_")
    return last in _PERSONAL_NAMES or not _PERSONAL_PARTS.isdisjoint(last.split("_"))


def reader_of_conditions(conditions: Iterable[Condition]) -> Reader | None:
    """Return a function that reads what these conditions compare; None if that is nothing, or only
    what is not recorded.

    An event is read as its number, its latest time, and the properties that are compared.
    """
    getters: dict[str, Callable[[ContactAttributes], Any]] = {}
    tags: set[str] = set()
    for condition in conditions:
        _collect(condition, getters, tags)
    if tags:
        named = frozenset(tags)
        getters[TAGS] = lambda contact: tuple(sorted(named & contact.tags))
    return _reader(getters) if getters else None


def reader_of_field(name: str) -> Reader | None:
    """Return a function that reads one field; None if it is not recorded."""
    if is_personal(name):
        return None
    return _reader({name: lambda contact: read_field(contact.fields, name)})


def event_text(event: Occurrence, paths: Iterable[str]) -> str:
    """Return the time of an event and these of its properties as JSON, without those that are not
    recorded."""
    values = {p: value_at(event.properties, p) for p in paths if not is_personal(p)}
    return _dump({OCCURRED_AT: event.occurred_at, **values})


def where_paths(condition: Condition | None) -> list[str]:
    """Return the paths of the properties that the `where` of a matcher compares."""
    if condition is None:
        return []
    if condition.type is ConditionType.COMPOSITE:
        return [path for part in condition.sub_conditions or () for path in where_paths(part)]
    return [(condition.field or "").strip()]


def _collect(
    condition: Condition,
    getters: dict[str, Callable[[ContactAttributes], Any]],
    tags: set[str],
) -> None:
    match condition.type:
        case ConditionType.COMPOSITE:
            for part in condition.sub_conditions or ():
                _collect(part, getters, tags)
        case ConditionType.SCORE:
            getters["ai_score"] = lambda contact: contact.fields.get("ai_score")
        case ConditionType.TAG:
            values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
            tags.update(map(str, values))
        case ConditionType.TIME:
            getters[LOCAL_TIME] = lambda contact: _local_time(contact.now, contact.timezone)
        case ConditionType.EVENT:
            event_type = condition.event_type or ""
            getters[event_type] = (
                _events_of(event_type, where_paths(condition.where))
                if condition.matcher_keys()
                else lambda contact: contact.events.get(event_type)
            )
        case ConditionType.FIELD:
            _collect_field(condition, getters, tags)


def _collect_field(
    condition: Condition,
    getters: dict[str, Callable[[ContactAttributes], Any]],
    tags: set[str],
) -> None:
    name = field_name(condition.field or "")
    if is_personal(name):
        return
    if depends_on_day(condition.value):
        getters[TODAY] = lambda contact: day_of(contact.now, zone_of(contact.timezone))
    if name == TAGS:
        values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        tags.update(str(value) for value in values if value is not None)
    else:
        getters[name] = lambda contact: read_field(contact.fields, name)


def _events_of(event_type: str, paths: Sequence[str]) -> Callable[[ContactAttributes], Any]:
    paths = [path for path in dict.fromkeys(paths) if not is_personal(path)]

    def read(contact: ContactAttributes) -> dict[str, Any]:
        events = contact.occurrences.get(event_type, ())
        if not events:
            return {"events": 0}
        latest = max(events, key=lambda event: event.occurred_at)
        of_latest = {path: value_at(latest.properties, path) for path in paths}
        return {"events": len(events), "latest": latest.occurred_at, **of_latest}

    return read


def _reader(getters: Mapping[str, Callable[[ContactAttributes], Any]]) -> Reader:
    names = tuple(getters)
    functions = tuple(getters.values())

    # By type: the number 1 and true are the same key otherwise.
    @lru_cache(maxsize=4096, typed=True)
    def text_of(*values: Any) -> str:
        return _dump(dict(zip(names, values, strict=True)))

    def read(contact: ContactAttributes) -> str:
        values = [function(contact) for function in functions]
        try:
            return text_of(*values)
        except TypeError:  # a list or an object has no hash
            return text_of.__wrapped__(*values)

    return read


def _dump(values: Mapping[str, Any]) -> str:
    return orjson.dumps({name: _stored(value) for name, value in values.items()}).decode()


def _stored(value: Any, *, is_inner: bool = False) -> Any:
    match value:
        case None | bool() | int() | float():
            return value if abs(value or 0) < 2**63 else str(value)
        case str():
            text = redact(value)
            return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case Mapping() if not is_inner:
            pairs = list(value.items())[:_MOST_MEMBERS]
            return {
                str(key): _stored(each, is_inner=True)
                for key, each in pairs
                if not is_personal(str(key))
            }
        case list() | tuple() | set() | frozenset() if not is_inner:
            return [_stored(each, is_inner=True) for each in list(value)[:_MOST_MEMBERS]]
    return "…"


@lru_cache(maxsize=1024)
def _local_time(now: datetime, timezone: str | None) -> str:
    local = now.astimezone(zone_of(timezone))
    return f"{local:%a %Y-%m-%d %H:%M} {timezone or 'UTC'}"
