"""Waits that follow the contact: until a date in one of its fields, or until a condition holds.

A change of the contact moves or ends them (engine/execution/followed_waits.py). Decided here: when
a date wait ends, and what the database must note for each wait.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    AliasChoices,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.compared_values import (
    Reader,
    reader_of_conditions,
    reader_of_field,
)
from drip_pipeline.domain.conditions.comparisons import Operator, as_instant
from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ConditionType,
    ContactAttributes,
    Needs,
    Predicate,
    compile_condition,
    needs_of,
    needs_of_names,
)
from drip_pipeline.domain.conditions.field_names import field_name, read_field
from drip_pipeline.domain.conditions.fields import (
    MAX_WAIT_SECONDS,
    NO_BOOL,
    UNIT_SECONDS,
    Duration,
    Name,
    NodeModel,
    Number,
)
from drip_pipeline.domain.conditions.local_instants import add_months, first_valid_instant
from drip_pipeline.domain.conditions.relative_days import TODAY, RelativeDay
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.contact_fields import contact_columns_for
from drip_pipeline.domain.graph.event_waits import DEFAULT_MAX_WAIT_DAYS, PORT_TIMEOUT
from drip_pipeline.domain.graph.local_times import TimeOfDay, as_time
from drip_pipeline.domain.graph.waits import MAX_MONTHS, WaitUnit
from drip_pipeline.domain.run_variables import variable_of

PORT_ON_DATE: Final = "default"
PORT_PAST: Final = "past"
PORT_MISSING: Final = "missing"
PORT_MET: Final = "met"
FOLLOWED: Final = "field:"
"""What precedes the names of fields in the state of such a wait, where the names of events are in
the state of a wait for events."""
DATE_COLUMNS: Final = frozenset({"created_at", "updated_at", "last_interaction"})
"""The columns of a contact that hold times."""

_TIMEZONE: Final = "timezone"
_CALENDAR_UNITS: Final = frozenset({"days", "weeks", "months"})
_EARLIEST: Final = datetime(1, 1, 2, tzinfo=UTC)
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
_HALF_TIME: Final = 5_000


class Offset(NodeModel):
    """A length of time before (negative) or after a date. Days, weeks and months are those of the
    calendar, in the contact's time zone: the local time stays the same."""

    value: Annotated[Number, NO_BOOL] = Field(
        description="Number of units, negative for before the date; of days, weeks and months a"
        " whole number."
    )
    unit: WaitUnit = Field(
        default="days",
        description="Unit of value. Days, weeks and months are those of the calendar in the"
        " contact's time zone.",
    )

    @model_validator(mode="after")
    def _within_reason(self) -> Self:
        if self.unit in _CALENDAR_UNITS and not self.value.is_integer():
            raise PydanticCustomError(
                "wait_offset", "days, weeks and months must be a whole number"
            )
        size = 31 * 86_400 if self.unit == "months" else UNIT_SECONDS[self.unit]
        limit = MAX_MONTHS * size if self.unit == "months" else MAX_WAIT_SECONDS
        if abs(self.value * size) > limit:
            raise PydanticCustomError("wait_too_long", "is longer than ten years")
        return self

    def moved(self, local: datetime) -> datetime:
        """Return a local time moved by calendar units."""
        if self.unit == "months":
            shown = add_months(local.replace(tzinfo=UTC), round(self.value), UTC)
            return shown.replace(tzinfo=None)
        days = round(self.value) * (7 if self.unit == "weeks" else 1)
        return local + timedelta(days=days)


class DateWait(NodeModel):
    """Wait until a date in a field of the contact, moved by `offset`, at the local `time`.

    It is left by `past` if that time is over when the contact arrives or the field changes, and
    by `missing` if the field has no date.
    """

    type: Literal["until_date"] = Field(default="until_date", description="Kind of wait.")
    field: Name = Field(
        description="Contact field with a date or a time: a custom field, created_at, updated_at or"
        " last_interaction. A time without a time zone is UTC."
    )
    offset: Offset | None = Field(
        default=None, description="Moves the date: {value: -3, unit: days} is three days before."
    )
    time: TimeOfDay | None = Field(
        default=None,
        description="Local time on that day, as 09:00. Without it the wait ends at the time in the"
        " field; a date without a time begins at midnight.",
    )

    @field_validator("field")
    @classmethod
    def _is_a_field_of_the_contact(cls, name: str) -> str:
        variable = variable_of(name)
        if variable is not None:
            raise PydanticCustomError(
                "wait_field",
                "{name} is not a field of the contact; an action of type field_update can store"
                " it in one",
                {"name": name},
            )
        column = field_name(name)
        columns, reads_custom_fields = contact_columns_for((column,))
        if not reads_custom_fields and not columns <= DATE_COLUMNS:
            raise PydanticCustomError(
                "wait_field",
                "{name} has no dates; use a custom field, {columns}",
                {"name": name, "columns": " or ".join(sorted(DATE_COLUMNS))},
            )
        return name

    @model_serializer(mode="wrap")
    def _only_keys_that_are_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}

    @property
    def waited_for(self) -> str:
        """What the state of a waiting enrollment says it waits for."""
        return FOLLOWED + field_name(self.field)

    def needs(self) -> Needs:
        """Return what the end of the wait is computed from."""
        return needs_of_names((field_name(self.field), _TIMEZONE))

    def ports(self) -> tuple[str, ...]:
        """Return the names of the outgoing ports."""
        return (PORT_ON_DATE, PORT_PAST, PORT_MISSING)

    def reader(self) -> Reader | None:
        """Return what reads the value of the field for the event log."""
        return _reader_of(self)

    def until(self, value: object, zone: tzinfo) -> datetime | None:
        """Return the end of the wait for a field with this value, in UTC; None if it is no date."""
        instant = as_instant(value) if isinstance(value, str) else value
        if not isinstance(instant, date):
            return None
        try:
            return min(max(self._until(instant, zone), _EARLIEST), _LATEST)
        except (OverflowError, ValueError):  # not within the years 1 to 9999
            return _LATEST if instant.year >= _HALF_TIME else _EARLIEST

    def _until(self, instant: date, zone: tzinfo) -> datetime:
        offset = self.offset
        if isinstance(instant, datetime):
            at = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
            if offset is None and self.time is None:
                return at.astimezone(UTC)
            local = at.astimezone(zone).replace(tzinfo=None)
        else:
            local = datetime.combine(instant, time())
            at = None
        if offset is not None and offset.unit in _CALENDAR_UNITS:
            local = offset.moved(local)
        elif offset is not None:
            if at is None:
                at = first_valid_instant(local, zone)
            at += timedelta(seconds=offset.value * UNIT_SECONDS[offset.unit])
            if self.time is None:
                return at.astimezone(UTC)
            local = at.astimezone(zone).replace(tzinfo=None)
        if self.time is not None:
            local = datetime.combine(local.date(), as_time(self.time))
        return first_valid_instant(local, zone)


class ConditionWait(NodeModel):
    """Wait until a condition about the contact holds, at most `max_wait` (default 7 days)."""

    type: Literal["until_condition"] = Field(default="until_condition", description="Kind of wait.")
    condition: Condition = Field(
        description="Condition on fields, tags, score or events. It is checked on arrival and"
        " whenever one of them changes."
    )
    max_wait: Duration = Field(
        default=Duration(value=DEFAULT_MAX_WAIT_DAYS, unit="days"),
        validation_alias=AliasChoices("max_wait", "max_wait_duration"),
        description="Longest wait (default 7 days); then the port timeout is taken.",
    )

    @field_validator("condition")
    @classmethod
    def _changes_with_the_contact(cls, condition: Condition) -> Condition:
        reason = _changes_by_time(condition)
        if reason is not None:
            raise PydanticCustomError("wait_condition", "{reason}", {"reason": reason})
        return condition

    @property
    def max_wait_seconds(self) -> int:
        """The seconds after which the wait ends by the port `timeout`."""
        return self.max_wait.seconds

    @property
    def waited_for(self) -> str:
        """What the state of a waiting enrollment says it waits for."""
        return FOLLOWED + ",".join(sorted(followed_fields(self.needs())))

    def needs(self) -> Needs:
        """Return what the condition reads."""
        return needs_of(self.condition)

    def ports(self) -> tuple[str, ...]:
        """Return the names of the outgoing ports."""
        return (PORT_MET, PORT_TIMEOUT)

    def predicate(self) -> Predicate:
        """Return the compiled condition."""
        return _predicate_of(self)

    def reader(self) -> Reader | None:
        """Return what reads the compared values for the event log."""
        return _reader_of(self)


ContactWait = DateWait | ConditionWait


class Judged(NamedTuple):
    """A wait for one contact now: it is left by `port`, or else ends at `until`.

    `until` is None for a condition that does not hold: its limit counts from the arrival.
    """

    port: str | None
    until: datetime | None = None


Judge = Callable[[ContactAttributes], Judged]
_MET: Final = Judged(PORT_MET)
_NOT_MET: Final = Judged(None)
_MISSING: Final = Judged(PORT_MISSING)


def judge_of(config: ContactWait, now: datetime) -> Judge:
    """Return a function that judges the wait for contacts, computing each end once."""
    if isinstance(config, ConditionWait):
        holds = config.predicate()
        return lambda contact: _MET if holds(contact) else _NOT_MET
    name = field_name(config.field)
    ends: dict[tuple[object, str | None], Judged] = {}

    def judge(contact: ContactAttributes) -> Judged:
        value = read_field(contact.fields, name)
        if not isinstance(value, str | date):
            return _MISSING
        key = (value, contact.timezone)
        judged = ends.get(key)
        if judged is None:
            until = config.until(value, zone_of(contact.timezone))
            judged = _MISSING if until is None else Judged(None, until)
            if until is not None and until < now:
                judged = Judged(PORT_PAST, until)
            ends[key] = judged
        return judged

    return judge


def followed_fields(needs: Needs) -> frozenset[str]:
    """Return the columns and custom fields whose changes may change what has these needs."""
    fields: set[str] = {"tags"} if needs.tags else set()
    for name in needs.fields:
        columns, reads_custom_fields = contact_columns_for((name,))
        fields |= columns
        if reads_custom_fields:
            # A path leads into a field, or is the whole name of one.
            fields |= {name, name.partition(".")[0]}
    return frozenset(fields - {"id", "workspace_id"})


def followed_names(config: ContactWait) -> frozenset[str]:
    """Return what the database notes for the wait: `field:plan`, `event:purchase`."""
    needs = config.needs()
    events = needs.named_events if isinstance(config, ConditionWait) else frozenset[str]()
    return frozenset(
        {f"field:{name}" for name in followed_fields(needs)} | {f"event:{name}" for name in events}
    )


_RISING: Final = frozenset({Operator.GT.value, Operator.GE.value})


def _changes_by_time(condition: Condition) -> str | None:
    """Return why a condition may begin to hold without a change of the contact, with advice."""
    for part in condition.sub_conditions or ():
        if (reason := _changes_by_time(part)) is not None:
            return reason
    if condition.type is ConditionType.TIME:
        return (
            "a condition of type time changes without the contact; use a wait until_time, and"
            " check it after the wait"
        )
    if condition.type is ConditionType.FIELD and _is_relative(condition.value):
        return (
            f"{condition.field} is compared with a day that changes without the contact; use a wait"
            " until_date on the field"
        )
    if condition.type is ConditionType.EVENT:
        return _event_changes_by_time(condition)
    return None


def _event_changes_by_time(condition: Condition) -> str | None:
    if condition.where is not None and _compares_relative_days(condition.where):
        return (
            f"the properties of {condition.event_type} are compared with a day that changes"
            " without the contact; compare them in a condition after the wait"
        )
    if condition.time_window is None and condition.within is None:
        return None
    is_negated = condition.operator is Operator.NE or condition.value is False
    count = condition.count
    if is_negated or (count is not None and count.operator not in _RISING):
        return (
            f"the absence of {condition.event_type} within a time begins without a change of the"
            " contact; use a wait until_event, whose port timeout says that none happened"
        )
    return None


def _compares_relative_days(where: Condition) -> bool:
    return _is_relative(where.value) or any(
        _compares_relative_days(part) for part in where.sub_conditions or ()
    )


def _is_relative(value: object) -> bool:
    if isinstance(value, tuple):
        return TODAY in value
    return value == TODAY or isinstance(value, RelativeDay)


@lru_cache(maxsize=4096)
def _predicate_of(config: ConditionWait) -> Predicate:
    return compile_condition(config.condition)


@lru_cache(maxsize=4096)
def _reader_of(config: ContactWait) -> Reader | None:
    if isinstance(config, DateWait):
        return reader_of_field(field_name(config.field))
    return reader_of_conditions([config.condition])
