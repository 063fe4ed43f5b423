"""Conditions: their model in a campaign file, and their compiled form, a predicate of a contact.

Pure rules over `ContactAttributes`. comparisons.py compares single values; the condition node
chooses the branch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from drip_pipeline.domain.conditions.comparisons import (
    COMPARISONS,
    Operator,
    as_number,
    value_test,
)
from drip_pipeline.domain.conditions.field_names import field_name, read_field
from drip_pipeline.domain.conditions.local_time import TIME_FIELDS, local_time_test
from drip_pipeline.domain.conditions.matcher_keys import MatcherKeys, event_test
from drip_pipeline.domain.conditions.occurrences import (
    Occurrence,
    RunPosition,
    is_about_a_message,
)
from drip_pipeline.domain.conditions.relative_days import (
    DaysAgo,
    DaysAhead,
    RelativeDay,
    depends_on_day,
    zoned_test,
)
from drip_pipeline.domain.events.vocabulary import event_type_named
from drip_pipeline.domain.run_variables import ENTRY, variable_of

MAX_DEPTH: Final = 10
MAX_CONDITIONS: Final = 500
MAX_LIST_LENGTH: Final = 1_000
MAX_TEXT_LENGTH: Final = 1_000
MAX_TIME_WINDOW_HOURS: Final = 24 * 366 * 10

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_LENGTH)]
Value = bool | int | float | str


_RELATIVE_KEYS: Final = frozenset({"days_ago", "days_ahead"})


class ConditionType(StrEnum):
    """What a condition tests."""

    FIELD = "field"
    SCORE = "score"
    TAG = "tag"
    EVENT = "event"
    TIME = "time"
    COMPOSITE = "composite"


_OPERATORS: Final[Mapping[ConditionType, frozenset[Operator | None]]] = {
    ConditionType.FIELD: frozenset(Operator),
    ConditionType.SCORE: COMPARISONS - {Operator.CONTAINS},
    ConditionType.TAG: frozenset({None, Operator.EQ, Operator.NE, Operator.CONTAINS, Operator.IN}),
    ConditionType.EVENT: frozenset({None, Operator.EQ, Operator.NE}),
    ConditionType.TIME: COMPARISONS - {Operator.CONTAINS},
    ConditionType.COMPOSITE: frozenset({None, *Operator}),
}


class Condition(MatcherKeys):
    """The specification's `Condition`; a combination of keys without a meaning is invalid.

    `time_window` is in hours and belongs to events, as do the keys of a matcher (`where` …).
    `logic` and `sub_conditions` belong to composites; the operator of a composite is ignored. A tag
    without an operator means "has the tag", an event without one "has happened".
    """

    type: ConditionType = Field(description="What the condition tests.")
    operator: Operator | None = Field(
        default=None, description="Comparison; a tag or event without one must be present."
    )
    field: Text | None = Field(
        default=None, description="Contact field that is compared (types field and time)."
    )
    value: Value | tuple[Value, ...] | DaysAgo | DaysAhead | None = Field(
        default=None,
        description="Value, or list of values, that is compared with; of a date also today,"
        " {days_ago: N} and {days_ahead: N}, days in the contact's time zone.",
    )
    event_type: Text | None = Field(default=None, description="Event that must have happened.")
    time_window: float | None = Field(
        default=None,
        gt=0,
        le=MAX_TIME_WINDOW_HOURS,
        description="Only events of the last hours, this many, count.",
    )
    sub_conditions: tuple[Condition, ...] | None = Field(
        default=None, description="Conditions of a composite."
    )
    logic: Literal["AND", "OR"] | None = Field(
        default=None, description="How a composite combines its conditions."
    )

    @model_validator(mode="before")
    @classmethod
    def _within_bounds(cls, data: object) -> object:
        check_size(data)
        return data

    @field_validator("value", mode="before")
    @classmethod
    def _dates_as_text(cls, value: object) -> object:
        if isinstance(value, Mapping) and (len(value) != 1 or not value.keys() & _RELATIVE_KEYS):
            raise ValueError("a value that is an object is {days_ago: N} or {days_ahead: N}")
        # YAML reads an unquoted 2026-01-28 as a date.
        if isinstance(value, list):
            return [item.isoformat() if isinstance(item, date) else item for item in value]
        return value.isoformat() if isinstance(value, date) else value

    @field_validator("value")
    @classmethod
    def _value_within_bounds(cls, value: object) -> object:
        items = value if isinstance(value, tuple) else (value,)
        if len(items) > MAX_LIST_LENGTH:
            raise ValueError(f"a list of values may have {MAX_LIST_LENGTH} entries at most")
        if any(isinstance(item, str) and len(item) > MAX_TEXT_LENGTH for item in items):
            raise ValueError(f"a value may have {MAX_TEXT_LENGTH} characters at most")
        return value

    @field_validator("event_type")
    @classmethod
    def _is_an_event_name(cls, event_type: str | None) -> str | None:
        return event_type_named(event_type) if event_type else event_type

    @field_validator("logic", mode="before")
    @classmethod
    def _upper_case(cls, logic: object) -> object:
        return logic.upper() if isinstance(logic, str) else logic

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        self._has_what_its_type_needs()
        if self.operator not in _OPERATORS[self.type]:
            allowed = " or ".join(op.value for op in Operator if op in _OPERATORS[self.type])
            actual = "no operator" if self.operator is None else repr(self.operator.value)
            raise ValueError(f"the operator of type {self.type.value} is {allowed}; not {actual}")
        if isinstance(self.value, RelativeDay) and self.type is not ConditionType.FIELD:
            raise ValueError("{days_ago: N} and {days_ahead: N} belong to conditions on fields")
        if self.type is not ConditionType.COMPOSITE:
            compile_condition(self)  # raises ValueError for a value that cannot be compared
        return self

    def _has_what_its_type_needs(self) -> None:
        kind = self.type.value
        if self.type is ConditionType.COMPOSITE:
            if not self.sub_conditions:
                raise ValueError("a composite condition needs sub_conditions")
        elif self.sub_conditions is not None or self.logic is not None:
            raise ValueError(f"sub_conditions and logic belong to composite, not to {kind}")
        if self.type is not ConditionType.EVENT:
            keys = sorted(self.matcher_keys())
            if keys:
                raise ValueError(f"{', '.join(keys)} belong to event conditions, not to {kind}")
        elif self.time_window is not None and self.within is not None:
            raise ValueError("time_window and within say the same; remove one of them")
        if self.type is ConditionType.EVENT and not self.event_type:
            raise ValueError("an event condition needs event_type")
        if self.type in (ConditionType.FIELD, ConditionType.TIME) and not self.field:
            raise ValueError(f"a {kind} condition needs field")
        if self.operator in (Operator.IS_EMPTY, Operator.IS_NOT_EMPTY):
            if self.value is not None:
                raise ValueError(f"operator {self.operator.value!r} has no value")
        elif self.value is None and self.type not in (
            ConditionType.COMPOSITE,
            ConditionType.EVENT,
        ):
            raise ValueError(
                f"a {kind} condition needs a value; missing data matches the operator 'is empty'"
            )


def check_size(data: object) -> None:
    """Raise ValueError if a condition (parsed JSON) is nested too deep or has too many parts."""
    level = [data]
    count = depth = 0
    while level:
        depth += 1
        count += len(level)
        if depth > MAX_DEPTH:
            raise ValueError(f"conditions may be nested {MAX_DEPTH} deep at most")
        if count > MAX_CONDITIONS:
            raise ValueError(f"a condition may have {MAX_CONDITIONS} parts at most")
        below: list[object] = []
        for item in level:
            if not isinstance(item, Mapping):
                continue
            children = item.get("sub_conditions")
            if isinstance(children, (list, tuple)):
                # One more than allowed is enough to exceed the limit at the next level.
                below.extend(children[: MAX_CONDITIONS + 1 - len(below)])
            if isinstance(item.get("where"), Mapping):
                below.append(item["where"])
        level = below


_NAMES: Final = {"Condition": Condition}
MatcherKeys.model_rebuild(_types_namespace=_NAMES)
Condition.model_rebuild(_types_namespace=_NAMES)


class ContactAttributes(NamedTuple):
    """The data of one contact that conditions are evaluated on.

    `fields`: contact columns, custom fields and aliases by name (see `contact_context`), and the
    variables of the run (see `RunVariables.by_name`). `events`:
    event type to the time of its latest occurrence. `now` and the times of events are aware.
    `timezone` is that of the contact or of its workspace, see `time_zones`; an unknown name
    counts as UTC. `occurrences`: the events, by type, of types whose properties are read. `run`:
    the run that asks, None where contacts are selected.
    """

    fields: Mapping[str, object]
    tags: frozenset[str]
    events: Mapping[str, datetime]
    now: datetime
    timezone: str | None = None
    occurrences: Mapping[str, Sequence[Occurrence]] = MappingProxyType({})
    run: RunPosition | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """The data that must be loaded before a condition can be evaluated.

    `event_types`: types of which the latest time suffices. `occurrences`: types whose events are
    read with their properties; `any_occurrences`: those of them whose events count also from
    before the run and from other runs. `run`: the position of the run is read. `variables` of the
    run: entry, event, vars.
    """

    fields: frozenset[str] = frozenset()
    tags: bool = False
    event_types: frozenset[str] = frozenset()
    occurrences: frozenset[str] = frozenset()
    any_occurrences: frozenset[str] = frozenset()
    run: bool = False
    variables: frozenset[str] = frozenset()

    @property
    def named_events(self) -> frozenset[str]:
        """All event types that the condition names."""
        return self.event_types | self.occurrences

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            self.fields | other.fields,
            self.tags or other.tags,
            self.event_types | other.event_types,
            self.occurrences | other.occurrences,
            self.any_occurrences | other.any_occurrences,
            self.run or other.run,
            self.variables | other.variables,
        )


NO_NEEDS: Final = Needs()

Predicate = Callable[[ContactAttributes], bool]


def compile_condition(condition: Condition) -> Predicate:
    """Return the condition as a predicate. It never raises; missing data makes it false."""
    return _COMPILERS[condition.type](condition)


def needs_of(condition: Condition) -> Needs:
    """Return the fields, tags and events the condition reads; time conditions read `timezone`."""
    match condition.type:
        case ConditionType.COMPOSITE:
            parts = (needs_of(part) for part in condition.sub_conditions or ())
            return functools.reduce(Needs.__or__, parts, Needs())
        case ConditionType.TAG:
            return Needs(tags=True)
        case ConditionType.EVENT:
            return _needs_of_event(condition)
        case ConditionType.TIME:
            return Needs(fields=frozenset({"timezone"}))
        case ConditionType.SCORE:
            return Needs(fields=frozenset({"ai_score"}))
        case ConditionType.FIELD:
            name = field_name(condition.field or "")
            zone = {"timezone"} if depends_on_day(condition.value) else set()
            if name == "tags":
                return Needs(fields=frozenset(zone), tags=True)
            return needs_of_names({name, *zone})


def needs_of_names(names: Iterable[str]) -> Needs:
    """Return what reading these names needs. The name of a variable of the run is that of a custom
    field, too, where the run does not have the variable."""
    fields = frozenset(names)
    variables = frozenset(v for name in fields if (v := variable_of(name)) is not None)
    return Needs(fields=fields, variables=variables)


def _compile_field(condition: Condition) -> Predicate:
    assert condition.operator is not None
    name = field_name(condition.field or "")
    if depends_on_day(condition.value):
        zoned = zoned_test(condition.operator, condition.value)
        return lambda contact: zoned(
            contact.tags if name == "tags" else read_field(contact.fields, name),
            contact.now,
            contact.timezone,
        )
    assert not isinstance(condition.value, RelativeDay)
    test = value_test(condition.operator, condition.value)
    if name == "tags":
        return lambda contact: test(contact.tags)
    return lambda contact: test(read_field(contact.fields, name))


def _compile_score(condition: Condition) -> Predicate:
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if any(as_number(value) is None for value in values):
        raise ValueError("a score is compared with numbers")
    assert condition.operator is not None
    assert condition.value is not None
    assert not isinstance(condition.value, RelativeDay)
    test = value_test(condition.operator, condition.value)
    return lambda contact: test(contact.fields.get("ai_score"))


def _compile_tag(condition: Condition) -> Predicate:
    if condition.operator is Operator.IN:
        if not isinstance(condition.value, tuple):
            raise ValueError("operator 'in' compares with a list of values")
        tags = frozenset(str(tag) for tag in condition.value)
        return lambda contact: not tags.isdisjoint(contact.tags)
    if isinstance(condition.value, tuple):
        raise ValueError("a tag condition names one tag; use operator 'in' for any of several")
    tag = str(condition.value)
    if condition.operator is Operator.NE:
        return lambda contact: tag not in contact.tags
    return lambda contact: tag in contact.tags


def _compile_event(condition: Condition) -> Predicate:
    # A builder may write "opened == false" where it means "has not opened".
    if condition.value is not None and not isinstance(condition.value, bool):
        raise ValueError("an event condition has no value; event_type is the event")
    expected = (condition.operator is not Operator.NE) is (condition.value is not False)
    event_type = condition.event_type or ""
    if condition.matcher_keys():
        condition.check_event_type(event_type)
        test = event_test(condition, event_type, time_window=condition.time_window)

        def matches(contact: ContactAttributes) -> bool:
            events = contact.occurrences.get(event_type, ())
            return test.holds(events, contact.run, contact.now, contact.timezone) is expected

        return matches
    if condition.time_window is not None:
        window = timedelta(hours=condition.time_window)

        def happened_recently(contact: ContactAttributes) -> bool:
            latest = contact.events.get(event_type)
            return (latest is not None and contact.now - latest <= window) is expected

        return happened_recently
    if not _counts_since_the_run_began(condition):
        return lambda contact: (event_type in contact.events) is expected

    def happened_in_run(contact: ContactAttributes) -> bool:
        latest = contact.events.get(event_type)
        began = None if contact.run is None else contact.run.started_at
        return (latest is not None and (began is None or latest >= began)) is expected

    return happened_in_run


def _counts_since_the_run_began(condition: Condition) -> bool:
    """Return whether an event condition without the keys of a matcher needs the run's beginning."""
    return condition.time_window is None and not is_about_a_message(condition.event_type or "")


def _needs_of_event(condition: Condition) -> Needs:
    event_type = condition.event_type or ""
    if condition.matcher_keys():
        return needs_of_matcher(condition, event_type)
    return Needs(event_types=frozenset({event_type}), run=_counts_since_the_run_began(condition))


def needs_of_matcher(keys: MatcherKeys, event_type: str) -> Needs:
    """Return what the evaluation of a matcher reads."""
    only = frozenset({event_type})
    return Needs(
        fields=frozenset({"timezone"}) if reads_zone(keys.where) else frozenset(),
        occurrences=only,
        any_occurrences=only if keys.of == "any" else frozenset(),
        run=True,
        variables=frozenset({ENTRY}) if keys.match else frozenset(),
    )


def reads_zone(condition: Condition | None) -> bool:
    """Return whether a condition on properties compares days, which are the contact's."""
    if condition is None:
        return False
    parts = condition.sub_conditions or ()
    return depends_on_day(condition.value) or any(reads_zone(part) for part in parts)


def _compile_time(condition: Condition) -> Predicate:
    if condition.field not in TIME_FIELDS:
        raise ValueError(f"a time condition has field {', '.join(TIME_FIELDS)}")
    assert condition.operator is not None
    assert condition.value is not None
    assert not isinstance(condition.value, RelativeDay)
    test = local_time_test(condition.field, condition.operator, condition.value)
    return lambda contact: test(contact.now, contact.timezone)


def _compile_composite(condition: Condition) -> Predicate:
    parts = [compile_condition(part) for part in condition.sub_conditions or ()]
    if condition.logic == "OR":
        return lambda contact: any(part(contact) for part in parts)
    return lambda contact: all(part(contact) for part in parts)


_COMPILERS: Final[Mapping[ConditionType, Callable[[Condition], Predicate]]] = {
    ConditionType.FIELD: _compile_field,
    ConditionType.SCORE: _compile_score,
    ConditionType.TAG: _compile_tag,
    ConditionType.EVENT: _compile_event,
    ConditionType.TIME: _compile_time,
    ConditionType.COMPOSITE: _compile_composite,
}
