"""Exit rules of a campaign: conditions and events that end a run wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Self

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ConditionType,
    ContactAttributes,
    Needs,
    compile_condition,
    needs_of,
)
from drip_pipeline.domain.conditions.event_matcher import EventMatcher
from drip_pipeline.domain.conditions.fields import NodeModel
from drip_pipeline.domain.conditions.occurrences import is_about_a_message
from drip_pipeline.domain.graph.event_waits import waited_names
from drip_pipeline.domain.run_variables import variable_of

MAX_RULES: Final = 50
RESERVED_REASONS: Final = frozenset(
    {
        "bounced", "campaign_archived", "complained", "goal", "held", "holdout", "manual",
        "not_confirmed", "paused", "removed", "soft_bounced", "superseded", "suppressed",
        "unsubscribed",
    }
)  # fmt: skip
"""Reasons that the engine gives to exits and to skipped messages."""


class ExitEvent(EventMatcher):
    """An event that ends a run.

    Events since the run began count. With `within`, events of the contact count from that long
    before, so that a contact who had the event lately does not enter.
    """

    @model_validator(mode="after")
    def _needs_an_event(self) -> Self:
        if self.count is not None and self.count.test()(0):
            raise PydanticCustomError(
                "matcher_count", "count holds without any event; an exit needs at least one"
            )
        return self

    def resolved(self) -> EventMatcher:
        """Return the matcher with the reach that its keys mean."""
        if self.of is not None:
            return self
        looks_back = self.within is not None and not is_about_a_message(self.event_type)
        return self.model_copy(update={"of": "any" if looks_back else "run"})


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "condition" if "type" in value else "event"
    return "condition" if isinstance(value, Condition) else "event"


When = Annotated[
    Annotated[Condition, Tag("condition")] | Annotated[ExitEvent, Tag("event")],
    Discriminator(_kind),
]
RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class ExitRule(NodeModel):
    """A rule that ends a run of the campaign: on a condition, or on an event."""

    id: RuleId = Field(description="Identifier of the rule, unique in the campaign.")
    when: When = Field(
        description="What ends the run: a condition (with `type`), checked on entry, at each step,"
        " before each message and when the contact changes; or an event (`event_type` with the keys"
        " of a matcher), which ends the run when it arrives."
    )
    reason: Reason | None = Field(
        default=None, description="Reason of the exit in reports; by default the id."
    )

    @model_validator(mode="after")
    def _has_a_reason_of_its_own(self) -> Self:
        if self.why in RESERVED_REASONS:
            raise PydanticCustomError(
                "exit_reason",
                "{reason} is a reason that the engine gives; choose another one",
                {"reason": self.why},
            )
        return self

    @property
    def why(self) -> str:
        """The reason of the exit."""
        return self.reason or self.id

    def needs(self) -> Needs:
        """Return what the evaluation of the rule reads."""
        if isinstance(self.when, Condition):
            return needs_of(self.when)
        return self.when.resolved().needs()

    def reads_contact(self) -> bool:
        """Return whether the rule compares fields, tags or the score of the contact."""
        if not isinstance(self.when, Condition):
            return False
        needs = self.needs()
        own = {name for name in needs.fields if variable_of(name) is None and name != "timezone"}
        return needs.tags or bool(own)

    def holds(self, contact: ContactAttributes) -> bool:
        """Return whether the rule ends the run of the contact. It never raises."""
        return _compiled(self)(contact)

    def event_names(self) -> frozenset[str]:
        """Return the names of the events on whose arrival the rule is evaluated, as
        `waited_names`."""
        if isinstance(self.when, Condition):
            return frozenset().union(*(_names_of(part) for part in leaves(self.when)))
        return waited_names(self.when.resolved())


@lru_cache(maxsize=4096)
def _compiled(rule: ExitRule) -> Callable[[ContactAttributes], bool]:
    if isinstance(rule.when, Condition):
        return compile_condition(rule.when)
    test = rule.when.resolved().test()

    def holds(contact: ContactAttributes) -> bool:
        run = contact.run
        if run is not None:
            # Times of other applications often have whole seconds.
            run = run._replace(started_at=run.started_at.replace(microsecond=0))
        events = contact.occurrences.get(test.event_type, ())
        return test.holds(events, run, contact.now, contact.timezone)

    return holds


def leaves(condition: Condition) -> Iterator[Condition]:
    """Yield the conditions that a condition combines, or itself."""
    if condition.type is not ConditionType.COMPOSITE:
        yield condition
    for part in condition.sub_conditions or ():
        yield from leaves(part)


def _names_of(condition: Condition) -> frozenset[str]:
    if condition.event_type is None:
        return frozenset()
    keys: dict[str, Any] = {"machines": condition.machines}
    if condition.of == "any":
        keys["of"] = "any"
    return waited_names(EventMatcher(event_type=condition.event_type, **keys))


def first_to_hold(rules: Sequence[ExitRule], contact: ContactAttributes) -> ExitRule | None:
    """Return the first rule that ends the run of the contact, None if none does."""
    for rule in rules:
        if rule.holds(contact):
            return rule
    return None
