"""The matcher of an event, as event triggers, waits and goals name it: a type and the keys that
narrow it.

A condition of type event has the same keys.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ConditionType,
    Needs,
    needs_of_matcher,
)
from drip_pipeline.domain.conditions.fields import Duration, EventName
from drip_pipeline.domain.conditions.matcher_keys import MatcherKeys, event_test
from drip_pipeline.domain.conditions.occurrences import (
    NO_PROPERTIES,
    EventTest,
    Occurrence,
    Properties,
    RunPosition,
)

__all__ = ["Condition", "EventMatcher", "GoalEvent"]

DEFAULT_GOAL_DAYS: Final = 7
_NO_KEYS_OF_GOALS: Final = {
    "count": "each event of the contact is a conversion with its value",
    "of": "the goal is an event of the contact, whatever message it followed",
    "url": "a goal is no click of a message",
    "machines": "a machine does not convert",
}


class EventMatcher(MatcherKeys):
    """An event: its type, and what else must be true of it."""

    model_config = ConfigDict(populate_by_name=True)

    event_type: EventName = Field(description="Type of the event.")

    @model_validator(mode="after")
    def _has_keys_of_its_type(self) -> Self:
        self.check_event_type(self.event_type)
        return self

    @property
    def is_plain(self) -> bool:
        """Whether the type is all that the matcher asks for."""
        return not self.matcher_keys()

    def needs(self) -> Needs:
        """Return what the evaluation of the matcher reads."""
        return needs_of_matcher(self, self.event_type)

    def test(self) -> EventTest:
        """Return the compiled form."""
        return _compiled(self)

    def accepts(
        self,
        event: Occurrence,
        run: RunPosition | None,
        now: datetime,
        timezone: str | None = None,
    ) -> bool:
        """Return whether the event is of the kind that the matcher asks for; `count` is ignored."""
        return _compiled(self).accepts(event, run, now, timezone)


@lru_cache(maxsize=4096)
def _compiled(matcher: EventMatcher) -> EventTest:
    return event_test(matcher, matcher.event_type)


def longest_within(condition: Condition) -> timedelta | None:
    """Return the greatest age of events whose properties the condition reads, None if any age."""
    parts = [condition]
    ages = [timedelta()]
    while parts:
        part = parts.pop()
        parts += part.sub_conditions or ()
        if part.type is ConditionType.EVENT and part.matcher_keys():
            within = event_test(part, part.event_type or "", time_window=part.time_window).within
            if within is None:
                return None
            ages.append(within)
    return max(ages)


class GoalEvent(EventMatcher):
    """The goal of a campaign: an event of the contact (such as a purchase) that happens within a
    time after the last message.
    """

    event_type: EventName = Field(description="Event that counts as a conversion.")
    within: Duration | None = Field(
        default=Duration(value=DEFAULT_GOAL_DAYS, unit="days"),
        description="Longest time between the message and the event (default 7 days).",
    )

    @model_validator(mode="after")
    def _is_one_event_of_the_contact(self) -> Self:
        for key, reason in _NO_KEYS_OF_GOALS.items():
            if getattr(self, key):
                raise PydanticCustomError(
                    "goal_event_key",
                    "goal_event has no {key}: {reason}",
                    {"key": key, "reason": reason},
                )
        if self.within is None:
            raise PydanticCustomError("goal_event_key", "goal_event needs within")
        return self

    @property
    def seconds(self) -> int:
        """The longest time between the message and the event, in seconds."""
        return 0 if self.within is None else self.within.seconds

    @property
    def is_narrowed(self) -> bool:
        """Whether events of the type are judged one by one."""
        return self.where is not None or self.is_per_run

    @property
    def is_per_run(self) -> bool:
        """Whether an event counts only for runs with its entry data."""
        return self.match is not None

    def judges(self, event: Occurrence, now: datetime, entry: Properties = NO_PROPERTIES) -> bool:
        """Return whether the event counts for a run with this entry data, apart from its time."""
        run = RunPosition(event.occurred_at, event.occurred_at, entry=entry)
        return _judging(self).accepts(event, run, now)


@lru_cache(maxsize=4096)
def _judging(goal: GoalEvent) -> EventTest:
    anytime = goal.model_copy(update={"within": None, "of": "any"})
    return event_test(anytime, goal.event_type)
