"""The keys that narrow an event, shared by event triggers, waits, conditions and goals, and their
compilation.

`where` is a condition of conditions.py, which builds on this module.
"""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
)
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.comparisons import ORDER, Operator
from drip_pipeline.domain.conditions.fields import NO_BOOL, Duration, Name, NodeModel
from drip_pipeline.domain.conditions.occurrences import (
    EventTest,
    WhereTest,
    is_about_a_message,
)
from drip_pipeline.domain.conditions.relative_days import zoned_test
from drip_pipeline.domain.events.vocabulary import MESSAGE_EVENT_CHANNELS
from drip_pipeline.domain.run_variables import ENTRY, value_at

if TYPE_CHECKING:
    from drip_pipeline.domain.conditions.conditions import Condition

COMPOSITE: Final = "composite"
FIELD: Final = "field"
MATCHER_KEYS: Final = ("where", "count", "within", "of", "match", "url", "machines")
ENTRY_PREFIX: Final = f"{ENTRY}."


class RequiredCount(NodeModel):
    """How many events are needed, such as `>=` 2."""

    operator: Literal["==", "!=", ">", "<", ">=", "<="] = Field(
        default=">=", description="Comparison of the number of events."
    )
    value: Annotated[int, Field(ge=0, le=1_000_000), NO_BOOL] = Field(
        description="Number that is compared with."
    )

    def test(self) -> Callable[[int], bool]:
        """Return the predicate of a number of events."""
        return _count_test(Operator(self.operator), self.value)


def _count_test(operator: Operator, value: int) -> Callable[[int], bool]:
    compare = ORDER.get(operator) or (operators.ne if operator is Operator.NE else operators.eq)
    return lambda number: compare(number, value)


class NodeReach(NodeModel):
    """The messages of one node in this run."""

    node: Name = Field(description="Node that sends the message.")


def _pairs(value: object) -> object:
    return tuple(value.items()) if isinstance(value, Mapping) else value


Match = Annotated[
    tuple[tuple[Name, Name], ...],
    Field(min_length=1, max_length=20),
    BeforeValidator(_pairs),
    PlainSerializer(dict),
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 20,
            "additionalProperties": {"type": "string", "pattern": r"^entry\."},
        }
    ),
]
"""Property of the event by path, and the entry data (`entry.order_id`) that it equals."""


class MatcherKeys(BaseModel):
    """What narrows an event: its properties, number, age, message, run and link.

    The same keys belong to event triggers, waits, conditions and goals. A key that is not set is
    not stored, so that campaigns without them stay as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    where: Condition | None = Field(
        default=None,
        description="Condition on the event's properties: `field` is the path of a property.",
    )
    count: RequiredCount | None = Field(
        default=None, description="How many such events are needed; one if absent."
    )
    within: Duration | None = Field(
        default=None, description="Only events of this last length of time count."
    )
    of: Literal["run", "last_message", "any"] | NodeReach | None = Field(
        default=None,
        description="Which events count: last_message (about the message sent last in this run, "
        "the default of message events), {node: id} (about a message of that node in this run), "
        "run (of this run, the default of other events) or any (of the contact).",
    )
    match: Match | None = Field(
        default=None,
        description="Properties that must equal the entry data of the run, such as "
        "{order_id: entry.order_id}.",
    )
    url: Annotated[str, Field(min_length=1, max_length=2_000)] | None = Field(
        default=None, description="Link that must have been clicked; only for email_clicked."
    )
    machines: bool = Field(
        default=False, description="Count events of privacy proxies and link scanners, too."
    )

    @model_serializer(mode="wrap")
    def _only_keys_that_are_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        own = {key: value for key, value in data.items() if key not in MATCHER_KEYS}
        return own | {key: data[key] for key in MATCHER_KEYS if data.get(key)}

    @field_validator("where")
    @classmethod
    def _compares_properties(cls, where: Condition | None) -> Condition | None:
        if where is not None:
            check_where(where)
        return where

    @field_validator("match")
    @classmethod
    def _names_entry_data(cls, match: Match | None) -> Match | None:
        for path, name in match or ():
            if not name.startswith(ENTRY_PREFIX) or name == ENTRY_PREFIX:
                raise PydanticCustomError(
                    "matcher_match",
                    "{path} must equal a value of the entry data, such as entry.{path}; not {name}",
                    {"path": path, "name": name},
                )
        return match

    def matcher_keys(self) -> frozenset[str]:
        """Return the names of the matcher's keys that are set."""
        return frozenset(key for key in MATCHER_KEYS if getattr(self, key))

    def check_event_type(self, event_type: str) -> None:
        """Raise PydanticCustomError for keys that events of this type do not have."""
        if self.url is not None and event_type != "email_clicked":
            raise PydanticCustomError(
                "matcher_url",
                "url belongs to email_clicked; {name} has no link",
                {"name": event_type},
            )
        of_message = self.of == "last_message" or isinstance(self.of, NodeReach)
        if of_message and not is_about_a_message(event_type):
            raise PydanticCustomError(
                "matcher_of",
                "{name} belongs to no message; `of` is run or any",
                {"name": event_type},
            )


def event_test(
    keys: MatcherKeys, event_type: str, *, time_window: float | None = None
) -> EventTest:
    """Return the compiled form of a matcher for events of this type; `time_window` is in hours."""
    within = timedelta(hours=time_window) if time_window is not None else None
    if keys.within is not None:
        within = timedelta(seconds=keys.within.seconds)
    default = "last_message" if event_type in MESSAGE_EVENT_CHANNELS else "run"
    is_node = isinstance(keys.of, NodeReach)
    return EventTest(
        event_type=event_type,
        reach="node" if is_node else str(keys.of or default),
        node_id=keys.of.node if isinstance(keys.of, NodeReach) else None,
        where=compile_where(keys.where) if keys.where is not None else None,
        counts=keys.count.test() if keys.count is not None else None,
        within=within,
        match=tuple((path, name.removeprefix(ENTRY_PREFIX)) for path, name in keys.match or ()),
        url=keys.url,
        accepts_machines=keys.machines,
    )


def compile_where(condition: Condition) -> WhereTest:
    """Return a condition on the properties of an event as a predicate. It never raises."""
    if condition.type == COMPOSITE:
        parts = [compile_where(part) for part in condition.sub_conditions or ()]
        if condition.logic == "OR":
            return lambda properties, now, zone: any(p(properties, now, zone) for p in parts)
        return lambda properties, now, zone: all(p(properties, now, zone) for p in parts)
    assert condition.operator is not None
    test = zoned_test(condition.operator, condition.value)
    path = (condition.field or "").strip()
    return lambda properties, now, zone: test(value_at(properties, path), now, zone)


def check_where(condition: Condition) -> None:
    """Raise PydanticCustomError for a condition that compares no properties of an event."""
    if condition.type == COMPOSITE:
        for part in condition.sub_conditions or ():
            check_where(part)
    elif condition.type != FIELD:
        raise PydanticCustomError(
            "matcher_where",
            "`where` compares properties of the event: its conditions have type field, not {kind}",
            {"kind": condition.type.value},
        )
