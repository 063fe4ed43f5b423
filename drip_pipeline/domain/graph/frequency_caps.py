"""Frequency caps: how many marketing messages a contact gets in a period.

A period is a length of time that ends now, or a day or week of the contact's clock. Periods are
half-open: a message at 09:00 counts in a period of one day until 09:00 of the next day, and no
longer at 09:00.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from drip_pipeline.domain.conditions.fields import NO_BOOL, Duration, NodeModel
from drip_pipeline.domain.conditions.local_instants import first_valid_instant

CAP: Final = "cap"
"""The kind of the rule in a workspace's rules; also the prefix of its name as a reason."""
CAP_NAME: Final = "^[a-z0-9][a-z0-9_-]{0,62}$"
MOST_MESSAGES: Final = 10_000
LOWEST_PRIORITY: Final = -1_000
HIGHEST_PRIORITY: Final = 1_000

CapChannel = Literal["email", "sms"]
CAP_CHANNELS: Final[tuple[CapChannel, ...]] = ("email", "sms")
CalendarPeriod = Literal["calendar_day", "calendar_week"]

_LONGEST_DAYS: Final = 366
_DAY: Final = timedelta(days=1)
_WEEK_DAYS: Final = 7
_TICK: Final = timedelta(microseconds=1)
# A contact who moves to another time zone begins a day or week up to a day earlier.
_MARGIN: Final = 2 * _DAY


class CapPeriod(NamedTuple):
    """The period of a cap that an instant is in: messages after `after` count.

    `ends_at` is when a new period begins; None for a length of time, in which each message counts
    for `length`.
    """

    after: datetime
    length: timedelta
    ends_at: datetime | None


def _period(value: object) -> object:
    if isinstance(value, str):
        if value.strip() in ("calendar_day", "calendar_week"):
            return value.strip()
    elif isinstance(value, Duration):
        return _bounded(value)
    elif isinstance(value, dict):
        return _bounded(Duration.model_validate(value))
    raise PydanticCustomError(
        "cap_period",
        "must be calendar_day, calendar_week, or an object such as {{value: 7, unit: days}}",
    )


def _bounded(period: Duration) -> Duration:
    if not 1 <= period.seconds <= timedelta(days=_LONGEST_DAYS).total_seconds():
        raise PydanticCustomError(
            "cap_period", "is between a second and {days} days", {"days": _LONGEST_DAYS}
        )
    return period


class FrequencyCap(NodeModel):
    """At most `max` marketing messages to a contact per period."""

    name: Annotated[str, Field(pattern=CAP_NAME)] = Field(
        description="Name of the cap: lower-case letters, digits, - and _."
    )
    channels: Annotated[tuple[CapChannel, ...], Field(min_length=1)] = Field(
        default=CAP_CHANNELS, description="Channels whose messages count and are limited."
    )
    max: Annotated[int, Field(ge=1, le=MOST_MESSAGES), NO_BOOL] = Field(
        description="Messages to a contact in the period, at most."
    )
    per: Annotated[Duration | CalendarPeriod, BeforeValidator(_period)] = Field(
        description="Period: a length of time, or calendar_day or calendar_week of the contact."
    )
    on_cap: Literal["defer", "skip"] = Field(
        default="defer",
        description="What happens to a message above the cap: it waits, or is skipped.",
    )
    max_defer: Duration | None = Field(
        default=None,
        description="A message that would wait longer than this since it was queued is skipped.",
    )

    @property
    def reason(self) -> str:
        """The rule's name in events, and as the reason of a skipped message."""
        return f"{CAP}:{self.name}"

    @property
    def reads_zone(self) -> bool:
        """Whether the period depends on the contact's time zone."""
        return not isinstance(self.per, Duration)

    @property
    def longest(self) -> timedelta:
        """How long a message may count, at the longest."""
        if isinstance(self.per, Duration):
            return timedelta(seconds=self.per.seconds)
        return (1 if self.per == "calendar_day" else _WEEK_DAYS) * _DAY + _MARGIN

    def period(self, at: datetime, zone: tzinfo = UTC) -> CapPeriod:
        """Return the period that `at` is in, for contacts in a time zone. A day begins at its first
        instant, also where the clock skips midnight; a week begins on Monday."""
        if isinstance(self.per, Duration):
            length = timedelta(seconds=self.per.seconds)
            return CapPeriod(at - length, length, None)
        day = at.astimezone(zone).date()
        if self.per == "calendar_week":
            day -= day.weekday() * _DAY
        days = 1 if self.per == "calendar_day" else _WEEK_DAYS
        starts_at = first_valid_instant(datetime.combine(day, time()), zone)
        ends_at = first_valid_instant(datetime.combine(day + days * _DAY, time()), zone)
        return CapPeriod(starts_at - _TICK, ends_at - starts_at, ends_at)

    def skips(self, until: datetime, queued_at: datetime) -> bool:
        """Return whether a message that would wait until then is skipped instead."""
        if self.on_cap == "skip":
            return True
        return self.max_defer is not None and until - queued_at > timedelta(
            seconds=self.max_defer.seconds
        )


def longest_period(caps: tuple[FrequencyCap, ...]) -> timedelta:
    """Return how long a message may count in any of these caps."""
    return max((cap.longest for cap in caps), default=timedelta(0))
