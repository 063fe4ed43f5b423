"""The model of reactions: what follows a message, drawn from the seed and the message's id.

A reaction depends on nothing else, so that the same seed gives the same reactions in any order of
messages, and the same contacts react in the same way in two simulations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from struct import unpack
from typing import Any, Final, NamedTuple

from drip_pipeline.domain.conditions.comparisons import Operator
from drip_pipeline.domain.conditions.conditions import Condition, ConditionType
from drip_pipeline.domain.conditions.event_matcher import EventMatcher
from drip_pipeline.domain.events.vocabulary import CONTACT_EVENT_TYPES, EVENT_TYPES
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import ConditionConfig, EventWait
from drip_pipeline.domain.run_variables import value_at
from drip_pipeline.engine.in_memory.store import MemoryMessage
from drip_pipeline.engine.simulation.reaction_rates import EventRate, NodeRates

DEFAULT_GOAL_RATE: Final = 0.02
DEFAULT_EVENT_RATE: Final = 0.1
LONGEST_DELAY: Final = timedelta(days=30)
_BOUNCE_DELAY: Final = timedelta(seconds=30)
_NUMBERS: Final = 16
_UINT32: Final = 2.0**32


class Reaction(NamedTuple):
    """An event that follows a message. `is_of_message`: it is about that message."""

    at: datetime
    event_type: str
    data: Mapping[str, Any]
    is_of_message: bool


class ModeledEvent(NamedTuple):
    """An event of contacts that the campaign reads, and how often it follows a message."""

    event_type: str
    rate: EventRate
    matchers: tuple[EventMatcher, ...]
    source: str


class ReactionModel:
    """Draws the reactions to messages."""

    def __init__(
        self, seed: int, rates: Mapping[str, NodeRates], events: Sequence[ModeledEvent] = ()
    ) -> None:
        """`rates` by node that sends messages; messages of other nodes have no reactions."""
        self._key = blake2b(str(seed).encode(), digest_size=32).digest()
        self._rates = rates
        self._events = events

    def react(self, message: MemoryMessage, now: datetime) -> list[Reaction]:
        """Return what follows a message that is sent at `now`, in no order."""
        rates = self._rates.get(message.note.node_id)
        if rates is None:
            return []
        draw = self._numbers(message.id.bytes, 0)
        if message.note.channel == "email":
            reactions = list(_to_email(rates, draw, now))
        else:
            reactions = list(_to_sms(rates, draw, now))
        ends = ("email_bounced", "email_unsubscribed", "email_complained")
        if self._events and not (reactions and reactions[0].event_type == ends[0]):
            reactions += self._own_events(message, now)
        return reactions

    def _own_events(self, message: MemoryMessage, now: datetime) -> Iterator[Reaction]:
        for number, event in enumerate(self._events):
            rate = event.rate
            if rate.nodes and message.note.node_id not in rate.nodes:
                continue
            draw = self._numbers(message.id.bytes, 1 + number)
            if draw[0] < rate.rate:
                at = now + _delay(draw[1], rate.hours)
                yield Reaction(at, event.event_type, _properties(event, message), False)

    def _numbers(self, message_id: bytes, stream: int) -> list[float]:
        digest = blake2b(
            message_id, digest_size=64, key=self._key, salt=stream.to_bytes(16, "big")
        ).digest()
        return [number / _UINT32 for number in unpack(f">{_NUMBERS}I", digest)]


def _to_email(node: NodeRates, draw: Sequence[float], now: datetime) -> Iterator[Reaction]:
    rates = node.rates
    if draw[0] < rates.bounced:
        yield Reaction(now + _BOUNCE_DELAY, "email_bounced", {"bounce_type": "permanent"}, True)
        return
    if draw[1] < rates.unsubscribed:
        yield Reaction(now + _delay(draw[2], rates.open_hours), "email_unsubscribed", {}, True)
        return
    if draw[3] < rates.complained:
        yield Reaction(now + _delay(draw[4], rates.open_hours), "email_complained", {}, True)
        return
    if draw[5] >= rates.opened:
        return
    opened = now + _delay(draw[6], rates.open_hours)
    yield Reaction(opened, "email_opened", {}, True)
    if draw[7] < rates.clicked:
        clicked = opened + _delay(draw[8], rates.click_hours)
        yield Reaction(clicked, "email_clicked", {}, True)
    if draw[9] < rates.replied:
        yield Reaction(opened + _delay(draw[10], rates.reply_hours), "email_replied", {}, True)


def _to_sms(node: NodeRates, draw: Sequence[float], now: datetime) -> Iterator[Reaction]:
    rates = node.rates
    if draw[1] < rates.unsubscribed:
        yield Reaction(now + _delay(draw[2], rates.reply_hours), "sms_opted_out", {}, True)
    elif draw[9] < rates.replied:
        yield Reaction(now + _delay(draw[10], rates.reply_hours), "sms_replied", {}, True)


def _delay(number: float, mean_hours: float) -> timedelta:
    """Return an exponentially distributed delay of this mean, in whole seconds, from one second."""
    seconds = -math.log(1.0 - number) * mean_hours * 3_600
    return min(LONGEST_DELAY, timedelta(seconds=1 + int(seconds)))


# --- events of contacts ---------------------------------------------------------------------------


def modeled_events(
    graph: CampaignGraph, rates: Mapping[str, EventRate]
) -> tuple[list[ModeledEvent], list[str]]:
    """Return the events of contacts that the campaign reads or the file names, and the types of the
    file that the campaign does not read.

    An event without a rate in the file has a default: 2 % of messages for the goal, 10 % for
    others.
    """
    matchers: dict[str, list[EventMatcher]] = {}
    for matcher in _matchers(graph):
        matchers.setdefault(matcher.event_type, []).append(matcher)
    goal = None if graph.goal_event is None else graph.goal_event.event_type
    events = []
    for event_type in sorted(matchers):
        kind = EVENT_TYPES.get(event_type)
        if kind is not None and event_type not in CONTACT_EVENT_TYPES:
            continue
        rate, source = rates.get(event_type), "file"
        if rate is None:
            share = DEFAULT_GOAL_RATE if event_type == goal else DEFAULT_EVENT_RATE
            rate, source = EventRate(rate=share), "default"
        events.append(ModeledEvent(event_type, rate, tuple(matchers[event_type]), source))
    return events, sorted(set(rates) - matchers.keys())


def _matchers(graph: CampaignGraph) -> Iterator[EventMatcher]:
    if graph.goal_event is not None:
        yield graph.goal_event
    for node in graph.nodes.values():
        if isinstance(node.config, EventWait):
            yield from (matcher for _, matcher in node.config.matchers())
        elif isinstance(node.config, ConditionConfig):
            for branch in node.config.branches:
                if branch.condition is not None:
                    yield from _in_condition(branch.condition)


def _in_condition(condition: Condition) -> Iterator[EventMatcher]:
    if condition.type is ConditionType.EVENT and condition.event_type:
        keys = {key: getattr(condition, key) for key in condition.matcher_keys()}
        yield EventMatcher(event_type=condition.event_type, **keys)
    for part in condition.sub_conditions or ():
        yield from _in_condition(part)


def _properties(event: ModeledEvent, message: MemoryMessage) -> dict[str, Any]:
    """Return properties that the campaign's matchers accept, and those of the file."""
    data: dict[str, Any] = {}
    for matcher in event.matchers:
        if matcher.where is not None:
            data |= _accepted(matcher.where)
        for path, name in matcher.match or ():
            data[path] = value_at(message.run.entry or {}, name.removeprefix("entry."))
    return data | event.rate.data


def _accepted(condition: Condition) -> dict[str, Any]:
    """Return properties for which a condition holds, as far as that is simple."""
    if condition.type is ConditionType.COMPOSITE:
        parts = condition.sub_conditions or ()
        chosen = parts[:1] if condition.logic == "OR" else parts
        return {name: value for part in chosen for name, value in _accepted(part).items()}
    value: Any = condition.value
    match condition.operator:
        case Operator.GT if isinstance(value, (int, float)):
            value = value + 1
        case Operator.LT if isinstance(value, (int, float)):
            value = value - 1
        case Operator.IN if isinstance(value, tuple) and value:
            value = value[0]
        case Operator.IS_NOT_EMPTY:
            value = "x"
        case Operator.NE | Operator.IS_EMPTY:
            return {}
        case _:
            pass
    return {} if not isinstance(value, (str, int, float)) else {condition.field or "": value}
