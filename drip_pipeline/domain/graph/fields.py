"""Fields that many configurations have: numbers, names, units, lengths of time.

Only what is used by more than one kind of node; each kind has its own model elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.events.vocabulary import normalize_event_type

UNIT_SECONDS: Final[Mapping[str, int]] = {
    "seconds": 1,
    "minutes": 60,
    "hours": 3_600,
    "days": 86_400,
    "weeks": 604_800,
}
MAX_WAIT_SECONDS: Final = 10 * 365 * 86_400
"""Ten years: beyond it a wait is a slip of the pen, and far beyond it a timestamp overflows."""


class NodeModel(BaseModel):
    """What all configurations share: unknown keys are refused, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def no_bool(value: object) -> object:
    """Refuse true and false where a number belongs: to Python they are 1 and 0, but `value: true`
    in a file is a mistake, never one hour."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "must be a number, not true or false")
    return value


def _unit(value: object) -> object:
    if isinstance(value, str):
        cleaned = value.strip().lower()
        return cleaned if cleaned.endswith("s") else f"{cleaned}s"
    return value


def _texts(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _event_type(value: object) -> object:
    return normalize_event_type(value) if isinstance(value, str) else value


NO_BOOL = BeforeValidator(no_bool)
"""To be the last part of a number's annotation: limits that come after it would not reach the JSON
Schema under their names."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Unit = Annotated[Literal["seconds", "minutes", "hours", "days", "weeks"], BeforeValidator(_unit)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_texts)]
EventName = Annotated[Name, BeforeValidator(_event_type)]
DEFAULT_GOAL_DAYS: Final = 7


class Duration(NodeModel):
    """A length of time: `value` of `unit`, from nothing to ten years."""

    value: Annotated[Number, Field(ge=0), NO_BOOL] = Field(description="Number of units.")
    unit: Unit = Field(default="hours", description="Unit of value.")

    @property
    def seconds(self) -> int:
        """The duration in whole seconds, rounded."""
        return round(self.value * UNIT_SECONDS[self.unit])

    @model_validator(mode="after")
    def _within_reason(self) -> Self:
        if self.value * UNIT_SECONDS[self.unit] > MAX_WAIT_SECONDS:
            raise PydanticCustomError("wait_too_long", "is longer than ten years")
        return self


class GoalEvent(NodeModel):
    """What a campaign is for: an event of the contact's (a purchase, say) that happens within some
    time of the last message before it.
    """

    event_type: EventName = Field(description="Event that counts as a conversion.")
    within: Duration = Field(
        default=Duration(value=DEFAULT_GOAL_DAYS, unit="days"),
        description="Longest time between the message and the event.",
    )
