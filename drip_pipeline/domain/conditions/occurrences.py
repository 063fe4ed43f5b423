"""Events as matchers read them, and the compiled form of a matcher: which events of a contact it
accepts, and whether enough of them have happened.

The keys of a matcher in a campaign file are in event_matcher.py. Reading events from the database
belongs to engine/execution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

from drip_pipeline.domain.conditions.comparisons import equal, operand
from drip_pipeline.domain.events.vocabulary import EVENT_TYPES, MESSAGE_EVENT_CHANNELS
from drip_pipeline.domain.run_variables import value_at

Properties = Mapping[str, Any]
NO_PROPERTIES: Final[Properties] = MappingProxyType({})
WhereTest = Callable[[Properties, datetime, str | None], bool]
"""A condition on properties, at a time, for a contact in a time zone."""


class Occurrence(NamedTuple):
    """One event of a contact.

    `message_id` and `node_id` are those of the message that it is about. `is_of_run`: it is logged
    for the run that asks; `is_of_another_run`: for another run of the contact; neither: for the
    contact alone.
    """

    event_type: str
    occurred_at: datetime
    properties: Properties
    is_machine: bool = False
    event_id: UUID | None = None
    message_id: UUID | None = None
    node_id: str | None = None
    is_of_run: bool = False
    is_of_another_run: bool = False


class LatestMessage(NamedTuple):
    """The message that a run sent last in a channel."""

    message_id: UUID
    sent_at: datetime


class RunPosition(NamedTuple):
    """What a matcher reads of the run that asks.

    `since`: from when on events of the contact end a wait; `latest_messages` by channel; `entry`:
    the object given at enrollment.
    """

    started_at: datetime
    since: datetime
    latest_messages: Mapping[str, LatestMessage] = MappingProxyType({})
    entry: Properties = MappingProxyType({})


def is_about_a_message(event_type: str) -> bool:
    """Return whether events of this type belong to a message, or report its sending."""
    kind = EVENT_TYPES.get(event_type)
    return event_type in MESSAGE_EVENT_CHANNELS or (
        kind is not None and kind.engine and kind.channel in ("email", "sms")
    )


def is_link(actual: object, url: str) -> bool:
    """Return whether a clicked URL is this link; parameters that it has besides do not count."""
    if not isinstance(actual, str):
        return False
    actual, url = actual.strip(), url.strip()
    return actual == url or _bare(actual) == url or _bare(actual).rstrip("/") == url.rstrip("/")


def _bare(url: str) -> str:
    return url.partition("#")[0].partition("?")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTest:
    """The compiled form of a matcher.

    `reach`: run, last_message, node or any. `counts` says whether a number of events suffices; a
    matcher without a count needs one event.
    """

    event_type: str
    reach: str
    node_id: str | None = None
    where: WhereTest | None = None
    counts: Callable[[int], bool] | None = None
    within: timedelta | None = None
    match: Sequence[tuple[str, str]] = ()
    url: str | None = None
    accepts_machines: bool = False

    def accepts(
        self,
        event: Occurrence,
        run: RunPosition | None,
        now: datetime,
        timezone: str | None = None,
        *,
        since: datetime | None = None,
    ) -> bool:
        """Return whether one event is of the kind that the matcher asks for.

        `run` is None where contacts are selected and no run asks: then all events of the contact
        are within reach, and `match` holds for none. `since` replaces the beginning of the run.
        """
        return (
            event.event_type == self.event_type
            and (self.accepts_machines or not event.is_machine)
            and (self.within is None or now - event.occurred_at <= self.within)
            and (run is None or self._reaches(event, run, since or run.started_at))
            and (self.url is None or is_link(event.properties.get("url"), self.url))
            and (not self.match or self._matches(event, run))
            and (self.where is None or self.where(event.properties, now, timezone))
        )

    def _reaches(self, event: Occurrence, run: RunPosition, since: datetime) -> bool:
        if self.reach == "any" or event.is_of_another_run:
            return self.reach == "any"
        if not is_about_a_message(self.event_type):
            return event.occurred_at >= since
        if self.reach == "node":
            return event.is_of_run and event.message_id is not None and self._is_of_node(event)
        latest = run.latest_messages.get(_channel(self.event_type))
        if self.reach == "last_message" and latest is not None:
            # The message decides. Only an event that names none is judged by its time.
            if event.is_of_run and event.message_id is not None:
                return event.message_id == latest.message_id
            return event.message_id is None and event.occurred_at >= latest.sent_at
        if event.message_id is not None:
            return event.is_of_run
        return event.is_of_run or event.occurred_at >= run.started_at

    def _is_of_node(self, event: Occurrence) -> bool:
        return event.node_id == self.node_id

    def _matches(self, event: Occurrence, run: RunPosition | None) -> bool:
        if run is None:
            return False
        for path, name in self.match:
            expected = value_at(run.entry, name)
            if expected is None or isinstance(expected, (Mapping, list, tuple)):
                return False
            if equal(value_at(event.properties, path), operand(expected)) is not True:
                return False
        return True

    def holds(
        self,
        events: Iterable[Occurrence],
        run: RunPosition | None,
        now: datetime,
        timezone: str | None = None,
    ) -> bool:
        """Return whether enough of these events are accepted."""
        accepted = (event for event in events if self.accepts(event, run, now, timezone))
        if self.counts is None:
            return any(True for _ in accepted)
        return self.counts(sum(1 for _ in accepted))

    def first_to_satisfy(
        self,
        events: Iterable[Occurrence],
        run: RunPosition,
        now: datetime,
        timezone: str | None = None,
    ) -> Occurrence | None:
        """Return the earliest event with which a wait's matcher holds, None if none has happened.

        The order of the events does not matter. Events of the contact count since `run.since`.
        """
        accepted = sorted(
            (e for e in events if self.accepts(e, run, now, timezone, since=run.since)),
            key=event_order,
        )
        for number, event in enumerate(accepted, 1):
            if self.counts is None or self.counts(number):
                return event
        return None


_NO_ID: Final = UUID(int=0)


def event_order(event: Occurrence) -> tuple[datetime, UUID]:
    """Return the key by which events are sorted: the time, then the id."""
    return event.occurred_at, event.event_id or _NO_ID


def _channel(event_type: str) -> str:
    return "sms" if event_type.startswith("sms_") else "email"
