"""Field types shared by several node configurations: numbers, names, units, durations."""

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

from drip_pipeline.domain.events.vocabulary import OWN_NAME_RULE, event_type_named

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
    """Refuse true and false in number fields.

    Python treats them as 1 and 0, but `value: true` in a file is a mistake and not one hour.
    """
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "must be a number, not true or false")
    return value


def plural_unit(value: object) -> object:
    """Return a unit in lower case and in the plural."""
    if isinstance(value, str):
        cleaned = value.strip().lower()
        return cleaned if cleaned.endswith("s") else f"{cleaned}s"
    return value


def _texts(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _event_type(value: object) -> object:
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        return event_type_named(value)
    except ValueError:
        raise PydanticCustomError(
            "event_type_invalid", "is not an event name; it has {rule}", {"rule": OWN_NAME_RULE}
        ) from None


NO_BOOL = BeforeValidator(no_bool)
"""Must be the last part of a number's annotation, because limits after it would not get their names
in the JSON Schema."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Unit = Annotated[
    Literal["seconds", "minutes", "hours", "days", "weeks"], BeforeValidator(plural_unit)
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_texts)]
EventName = Annotated[Name, BeforeValidator(_event_type)]
"""An event type of the vocabulary, also by a short name, or the name of an own event."""


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
