"""Waits that end by time alone: after a duration, or at the next time of day."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.fields import (
    MAX_WAIT_SECONDS,
    NO_BOOL,
    UNIT_SECONDS,
    NodeModel,
    Number,
    plural_unit,
)
from drip_pipeline.domain.conditions.local_instants import add_months, next_time_of_day
from drip_pipeline.domain.graph.local_times import (
    CONTACT_ZONE,
    DAYS,
    Days,
    TimeOfDay,
    ZoneChoice,
    as_time,
    day_numbers,
)

MAX_MONTHS: Final = 120
MONTH_SECONDS: Final = 30 * 86_400
WaitUnit = Annotated[
    Literal["seconds", "minutes", "hours", "days", "weeks", "months"], BeforeValidator(plural_unit)
]


class DurationWait(NodeModel):
    """Wait for a length of time. Months are those of the calendar, in the contact's time zone: one
    month from 31 January is the last day of February, at the same local time."""

    type: Literal["duration"] = Field(default="duration", description="Kind of wait.")
    value: Annotated[Number, Field(ge=0), NO_BOOL] = Field(
        description="Number of units to wait; of months a whole number."
    )
    unit: WaitUnit = Field(
        default="hours",
        description="Unit of value. Months are calendar months in the contact's time zone.",
    )

    @property
    def seconds(self) -> int:
        """The wait in whole seconds, rounded. A month counts as 30 days here: `until` computes the
        end of a wait of months."""
        size = MONTH_SECONDS if self.unit == "months" else UNIT_SECONDS[self.unit]
        return round(self.value * size)

    @property
    def timezone(self) -> str | None:
        """Whose time zone the end depends on, as in `ZoneChoice`; None if on none."""
        return CONTACT_ZONE if self.unit == "months" and self.value else None

    def until(self, start: datetime, zone: tzinfo) -> datetime:
        """Return the end of a wait that starts at `start`, in a time zone."""
        if self.unit == "months":
            return add_months(start, round(self.value), zone)
        return start + timedelta(seconds=self.seconds)

    @model_validator(mode="after")
    def _within_reason(self) -> Self:
        if self.unit == "months":
            if not self.value.is_integer():
                raise PydanticCustomError("wait_months", "months must be a whole number")
            if self.value > MAX_MONTHS:
                raise PydanticCustomError("wait_too_long", "is longer than ten years")
        elif self.value * UNIT_SECONDS[self.unit] > MAX_WAIT_SECONDS:
            raise PydanticCustomError("wait_too_long", "is longer than ten years")
        return self


class TimeWait(NodeModel):
    """Wait until the next time of day, such as 09:00, on one of the days.

    It is later than the start of the wait: at 09:00 the wait ends on the next day. A time that the
    clock skips is the first one after the gap; a time that it shows twice is the first of both.
    """

    type: Literal["until_time"] = Field(default="until_time", description="Kind of wait.")
    time: TimeOfDay = Field(description="Time of day, as 09:00.")
    days: Days = Field(
        default=DAYS, description="Days of the week on which the wait may end, as [mon, tue]."
    )
    timezone: ZoneChoice = Field(
        default=CONTACT_ZONE,
        description="Time zone of the time: contact (the contact field timezone, else the"
        " workspace's), workspace, or an IANA name.",
    )

    def until(self, start: datetime, zone: tzinfo) -> datetime:
        """Return the end of a wait that starts at `start`, in a time zone."""
        return next_time_of_day(start, as_time(self.time), zone, day_numbers(self.days))


TimedWait = DurationWait | TimeWait
"""The waits that end by time alone. `timezone` is None if the end does not depend on one."""
