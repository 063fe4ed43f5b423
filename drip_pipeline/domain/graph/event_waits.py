"""The wait for an event, or for one of several events, each with its own outgoing port."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AliasChoices,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.event_matcher import EventMatcher
from drip_pipeline.domain.conditions.fields import Duration, EventName, Name
from drip_pipeline.domain.conditions.matcher_keys import MATCHER_KEYS, MatcherKeys
from drip_pipeline.domain.conditions.occurrences import EventTest

PORT_EVENT: Final = "event"
PORT_TIMEOUT: Final = "timeout"
DEFAULT_MAX_WAIT_DAYS: Final = 7
MAX_EVENTS: Final = 20
MATCHED: Final = "match:"
"""What precedes the event types in the state of a wait whose events are judged one by one, so that
the statement for waits that ask for a type only does not find it."""
_MACHINE: Final = "machine:"
_ANY: Final = "any:"


class WaitedEvent(EventMatcher):
    """One of several events of a wait, with the port by which it is left."""

    id: Name = Field(description="Identifier of the event and of its outgoing port.")


WaitedEvents = Annotated[tuple[WaitedEvent, ...], Field(min_length=1, max_length=MAX_EVENTS)]


def waited_names(matcher: EventMatcher) -> frozenset[str]:
    """Return the names by which the database finds what an arriving event concerns.

    `machine:` precedes the type of an event by a machine, `any:` that of an event of another run.
    """
    names = {matcher.event_type}
    if matcher.machines:
        names.add(_MACHINE + matcher.event_type)
    if matcher.of == "any":
        names |= {_ANY + name for name in names}
    return frozenset(names)


class EventWait(MatcherKeys):
    """Wait until an event happens, at most `max_wait` (default 7 days).

    `event_type` with the keys of a matcher names one event, whose port is `event`; `events` names
    several, each with its port. The specification writes `value` and `unit` instead of `max_wait`.
    """

    model_config = ConfigDict(
        populate_by_name=True, json_schema_extra=lambda schema: _add_value_and_unit(schema)
    )

    type: Literal["until_event"] = Field(default="until_event", description="Kind of wait.")
    event_type: EventName | None = Field(default=None, description="Event to wait for.")
    events: (
        Annotated[tuple[WaitedEvent, ...], Field(min_length=1, max_length=MAX_EVENTS)] | None
    ) = Field(
        default=None,
        description="Several events instead of event_type; the one that happens first ends the "
        "wait, through the port with its id.",
    )
    max_wait: Duration = Field(
        default=Duration(value=DEFAULT_MAX_WAIT_DAYS, unit="days"),
        validation_alias=AliasChoices("max_wait", "max_wait_duration"),
        description="Longest wait (default 7 days); then the port timeout is taken.",
    )

    @model_serializer(mode="wrap")
    def _only_keys_that_are_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        optional = ("event_type", "events", *MATCHER_KEYS)
        return {key: value for key, value in handler(self).items() if value or key not in optional}

    @model_validator(mode="before")
    @classmethod
    def _limit_in_value_and_unit(cls, fields: object) -> object:
        if not isinstance(fields, Mapping) or "value" not in fields:
            return fields
        if "max_wait" in fields or "max_wait_duration" in fields:
            raise PydanticCustomError(
                "wait_limit_twice", "has both max_wait and value; remove one of them"
            )
        kept = {key: item for key, item in fields.items() if key not in ("value", "unit")}
        limit = {key: fields[key] for key in ("value", "unit") if key in fields}
        return {**kept, "max_wait": {"unit": "hours", **limit}}

    @model_validator(mode="after")
    def _names_one_event_or_several(self) -> Self:
        if self.events is None:
            if self.event_type is None:
                raise PydanticCustomError("config_missing", "event_type is missing")
            self.check_event_type(self.event_type)
        elif self.event_type is not None or self.matcher_keys():
            raise PydanticCustomError(
                "wait_events", "has both event_type and events; remove one of them"
            )
        ids = [event.id for event in self.events or ()]
        if len(set(ids)) < len(ids) or PORT_TIMEOUT in ids:
            raise PydanticCustomError(
                "wait_events", "each event needs an id of its own, other than timeout"
            )
        for count in (self.count, *(event.count for event in self.events or ())):
            if count is not None and count.test()(0):
                raise PydanticCustomError(
                    "matcher_count", "count holds without any event; a wait needs at least one"
                )
        return self

    @property
    def max_wait_seconds(self) -> int:
        """The seconds after which the wait ends by the port `timeout`."""
        return self.max_wait.seconds

    @property
    def is_plain(self) -> bool:
        """Whether an event type is all that the wait asks for."""
        return self.events is None and not self.matcher_keys()

    @property
    def event_types(self) -> tuple[str, ...]:
        """The event types that end the wait, each once."""
        return tuple(dict.fromkeys(matcher.event_type for _, matcher in self.matchers()))

    @property
    def waited_for(self) -> str:
        """What the state of a waiting enrollment says it waits for."""
        return (self.event_type or "") if self.is_plain else self.judged_for

    @property
    def judged_for(self) -> str:
        """What it says where the events are judged one by one, although the type may suffice."""
        return MATCHED + ",".join(sorted(self.waited_names()))

    def waited_names(self) -> frozenset[str]:
        """Return the names of all events of the wait, as `waited_names`."""
        return frozenset().union(*(waited_names(matcher) for _, matcher in self.matchers()))

    def matchers(self) -> tuple[tuple[str, EventMatcher], ...]:
        """Return the ports, without the timeout's, and the events that lead to them."""
        return _matchers(self)

    def tests(self) -> tuple[tuple[str, EventTest], ...]:
        """Return the ports, and the compiled form of their matchers."""
        return _tests(self)

    def ports(self) -> tuple[str, ...]:
        """Return the names of the outgoing ports."""
        return (*(port for port, _ in self.matchers()), PORT_TIMEOUT)


@lru_cache(maxsize=4096)
def _matchers(config: EventWait) -> tuple[tuple[str, EventMatcher], ...]:
    if config.events is not None:
        return tuple((event.id, event) for event in config.events)
    keys = {key: getattr(config, key) for key in ("event_type", *MATCHER_KEYS)}
    return ((PORT_EVENT, EventMatcher.model_validate(keys)),)


@lru_cache(maxsize=4096)
def _tests(config: EventWait) -> tuple[tuple[str, EventTest], ...]:
    return tuple((port, matcher.test()) for port, matcher in config.matchers())


def _add_value_and_unit(schema: dict[str, Any]) -> None:
    duration = Duration.model_json_schema()["properties"]
    for key in ("value", "unit"):
        schema["properties"][key] = {
            **duration[key],
            "description": f"The {key} of max_wait, as the specification writes it.",
        }
        schema["properties"][key].pop("default", None)
