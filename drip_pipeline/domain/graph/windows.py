"""Send windows and quiet hours: when messages to a person may be sent, by local time.

Openings are computed per time zone and not per contact. A range whose end is not later than its
start ends on the next day; `days` name the day on which it starts. A limit that the clock skips is
the first instant after the gap, one that it shows twice is the first of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Literal, NamedTuple, get_args

from pydantic import ConfigDict, Field

from drip_pipeline.domain.conditions.fields import Duration, NodeModel
from drip_pipeline.domain.conditions.local_instants import first_valid_instant
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.graph.local_times import (
    CONTACT_ZONE,
    DAYS,
    END_OF_DAY,
    WORKSPACE_ZONE_NAME,
    Days,
    EndTime,
    TimeOfDay,
    ZoneChoice,
    as_time,
    day_numbers,
    depends_on_contact,
)

MessageKind = Literal["marketing", "transactional"]
KINDS: Final[tuple[str, ...]] = get_args(MessageKind)
SEND_WINDOW: Final = "send_window"
QUIET_HOURS: Final = "quiet_hours"
RECHECK: Final = timedelta(days=1)
"""After which a message is checked again that no opening follows within `_DAYS_AHEAD`."""
_DAY: Final = timedelta(days=1)
# A range of one weekday may be lost once, in a gap of the clock.
_DAYS_AHEAD: Final = 15


class Zones(NamedTuple):
    """The time zones of a contact: its own (the workspace's if it has none), its workspace's."""

    of_contact: str | None
    of_workspace: str | None

    def named(self, choice: str) -> str | None:
        """Return the time zone of a `ZoneChoice`."""
        if choice == CONTACT_ZONE:
            return self.of_contact
        return self.of_workspace if choice == WORKSPACE_ZONE_NAME else choice


NO_ZONES: Final = Zones(None, None)


class _LocalRange(NodeModel):
    """A range of local times on days of the week, and what happens to messages outside of it."""

    # By alias: `from` is a keyword of Python.
    model_config = ConfigDict(populate_by_name=False, serialize_by_alias=True)

    days: Days = Field(
        default=DAYS, description="Days of the week on which the range starts, as [mon, tue]."
    )
    start: TimeOfDay = Field(alias="from", description="Start of the range, as 09:00.")
    end: EndTime = Field(
        alias="to",
        description="End of the range, as 20:00 or 24:00; on the next day if it is not later than"
        " the start.",
    )
    timezone: ZoneChoice = Field(
        default=CONTACT_ZONE,
        description="Time zone of the times: contact (the contact field timezone, else the"
        " workspace's), workspace, or an IANA name.",
    )
    otherwise: Literal["wait", "skip"] = Field(
        default="wait",
        description="What happens to a message that may not be sent: wait for the next opening, or"
        " skip it; the enrollment continues.",
    )
    max_delay: Duration | None = Field(
        default=None,
        description="A message that would wait longer than this since it was queued is skipped.",
    )

    def ranges(self, at: datetime, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
        """Yield the ranges from the day before `at` on, as instants; empty ones are left out."""
        numbers = day_numbers(self.days)
        first = at.astimezone(zone).date() - _DAY
        for offset in range(_DAYS_AHEAD):
            day = first + offset * _DAY
            if day.weekday() in numbers:
                start, end = self._on(day, zone)
                if start < end:
                    yield start, end

    def _on(self, day: date, zone: tzinfo) -> tuple[datetime, datetime]:
        starts_at = as_time(self.start)
        is_end_of_day = self.end == END_OF_DAY
        ends_at = as_time("00:00" if is_end_of_day else self.end)
        last = day + _DAY if is_end_of_day or ends_at <= starts_at else day
        return (
            first_valid_instant(datetime.combine(day, starts_at), zone),
            first_valid_instant(datetime.combine(last, ends_at), zone),
        )


class SendWindow(_LocalRange):
    """When the messages of a campaign or a step are sent. Windows over midnight are allowed:
    `from: "22:00"`, `to: "06:00"`."""

    def opening(self, at: datetime, zone: tzinfo) -> datetime | None:
        """Return `at` if the window is open, else its next opening; None without one."""
        for start, end in self.ranges(at, zone):
            if at < end:
                return max(start, at)
        return None


class QuietHours(_LocalRange):
    """When a workspace sends no marketing messages."""

    def opening(self, at: datetime, zone: tzinfo) -> datetime | None:
        """Return `at` if it is not in quiet hours, else their end; None if they do not end."""
        quiet_until = at
        for start, end in self.ranges(at, zone):
            if start <= quiet_until < end:
                quiet_until = end
            elif start > quiet_until:
                return quiet_until
        # Ranges that follow each other up to the last day that was read do not end.
        last = at + (_DAYS_AHEAD - 3) * _DAY
        return quiet_until if quiet_until < last else None

    def never_end(self, at: datetime) -> bool:
        """Return whether every hour of the week is quiet."""
        return self.opening(at, UTC) is None


class SkipLimit(NamedTuple):
    """The rule that skips a message, and the longest delay that it allows."""

    rule: str
    max_delay: timedelta


class Hold(NamedTuple):
    """Why messages may not be sent at an instant. `until`: when they may, or are checked again.

    `limits`: a message whose wait since it was queued exceeds one of these is skipped.
    """

    rule: str
    until: datetime
    limits: tuple[SkipLimit, ...]

    def skips(self, queued_at: datetime) -> str | None:
        """Return the rule that skips a message that was queued then, None if it waits."""
        for limit in self.limits:
            if self.until - queued_at > limit.max_delay:
                return limit.rule
        return None


class SendRules(NamedTuple):
    """The rules of time for the messages of a node: its window, and its workspace's quiet hours."""

    window: SendWindow | None = None
    quiet_hours: QuietHours | None = None

    def has_any(self) -> bool:
        """Return whether there is a rule."""
        return self.window is not None or self.quiet_hours is not None

    def read_zones(self) -> bool:
        """Return whether a rule depends on the contact's or the workspace's time zone."""
        return any(depends_on_contact(rule.timezone) for rule in self if rule is not None)

    def hold(self, at: datetime, zones: Zones) -> Hold | None:
        """Return why messages to contacts in these zones may not be sent at `at`, None if they may.

        Both rules must be open at once. The rule that is named is the first that is closed at `at`.
        """
        named: list[tuple[str, SendWindow | QuietHours]] = []
        if self.window is not None:
            named.append((SEND_WINDOW, self.window))
        if self.quiet_hours is not None:
            named.append((QUIET_HOURS, self.quiet_hours))
        until = at
        closed: dict[str, SkipLimit | None] = {}
        changed = True
        while changed:
            changed = False
            for name, rule in named:
                opening = rule.opening(until, zone_of(zones.named(rule.timezone)))
                if opening == until:
                    continue
                closed.setdefault(name, _limit(name, rule, is_closed_now=until == at))
                if opening is None or opening > at + _DAYS_AHEAD * _DAY:
                    return _hold(closed, at + RECHECK)
                until = opening
                changed = True
        return _hold(closed, until) if closed else None


def _limit(name: str, rule: SendWindow | QuietHours, *, is_closed_now: bool) -> SkipLimit | None:
    if rule.otherwise == "skip" and is_closed_now:
        return SkipLimit(name, timedelta(0))
    if rule.max_delay is None:
        return None
    return SkipLimit(name, timedelta(seconds=rule.max_delay.seconds))


def _hold(closed: dict[str, SkipLimit | None], until: datetime) -> Hold:
    limits = tuple(limit for limit in closed.values() if limit is not None)
    return Hold(next(iter(closed)), until, limits)
