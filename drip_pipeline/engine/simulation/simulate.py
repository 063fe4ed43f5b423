"""Run many people through a campaign in memory, with modeled reactions, minute by minute.

The clock has the ticks of the real engine: what is due, and what has happened since the tick
before, is done at the next whole minute. Ticks at which nothing happens are left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple
from uuid import UUID

from drip_pipeline.domain.conditions.occurrences import Occurrence
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.events.vocabulary import SUPPRESSING_EVENT_TYPES, TOPIC_EVENT_TYPES
from drip_pipeline.engine.campaigns.version_cache import PublishedVersion
from drip_pipeline.engine.campaigns.workspace_rules import WorkspaceRules
from drip_pipeline.engine.gc_pause import no_collection
from drip_pipeline.engine.in_memory.arrivals import MemoryArrival
from drip_pipeline.engine.in_memory.cap_count import CountedSend
from drip_pipeline.engine.in_memory.memory_engine import MemoryEngine
from drip_pipeline.engine.in_memory.store import MemoryMessage, MemoryStore
from drip_pipeline.engine.progress import Progress
from drip_pipeline.engine.simulation.reactions import Reaction, ReactionModel
from drip_pipeline.engine.simulation.tally import Tally

TICK: Final = timedelta(minutes=1)
_HOURS_A_WEEK: Final = 168


class SimulatedPerson(NamedTuple):
    """A contact that enters: its columns, the entry data of its run, and the messages that it was
    sent before and that count in caps."""

    contact_id: UUID
    run_id: UUID
    row: Mapping[str, Any]
    entry: Mapping[str, Any] | None = None
    sends: tuple[CountedSend, ...] = ()


@dataclass(frozen=True, slots=True)
class SimulationSetup:
    """What is simulated. `rates`: messages a second by channel. `others`: messages of other
    campaigns in an hour, by channel and hour of the week (Monday 00:00 UTC is 0). `entry_span`: the
    time over which the people enter."""

    version: PublishedVersion
    population: Sequence[SimulatedPerson]
    model: ReactionModel
    start: datetime
    days: int
    rules: WorkspaceRules = field(default_factory=WorkspaceRules)
    time_zone: str = "UTC"
    entry_span: timedelta = timedelta()
    rates: Mapping[str, float] = field(default_factory=dict)
    others: Mapping[str, Mapping[int, float]] = field(default_factory=dict)


class QueueSample(NamedTuple):
    """The longest queue of a channel's rate in an hour."""

    hour: int
    channel: str
    messages: int


@dataclass
class SimulationRun:
    """What happened. `refused`: people that did not enter, by reason. `queues` by hour and
    channel; `cleared_at` is when the last message of a channel no longer waited for its rate."""

    setup: SimulationSetup
    store: MemoryStore
    tally: Tally
    refused: dict[str, int] = field(default_factory=dict)
    queues: dict[tuple[int, str], int] = field(default_factory=dict)
    cleared_at: dict[str, datetime] = field(default_factory=dict)
    still_queued: dict[str, int] = field(default_factory=dict)


def simulate(
    setup: SimulationSetup,
    progress: Progress | None = None,
    *,
    tally_type: type[Tally] = Tally,
) -> SimulationRun:
    """Simulate the days of the setup. Nothing is written anywhere.

    `tally_type` counts; a subclass may record more.
    """
    with no_collection():
        return _MinuteClock(setup, progress, tally_type).run()


class _MinuteClock:
    def __init__(
        self, setup: SimulationSetup, progress: Progress | None, tally_type: type[Tally]
    ) -> None:
        self._setup = setup
        self._progress = progress
        store = MemoryStore(setup.version, setup.rules, setup.time_zone)
        self._result = SimulationRun(setup, store, tally_type(store, setup.start))
        self._tally = self._result.tally
        self._engine = MemoryEngine(store, self._tally, rates=setup.rates)
        self._arrivals: dict[int, list[MemoryArrival]] = {}
        self._ticks: list[int] = []
        self._entries = _entry_ticks(setup, self._result.refused)
        self._number = 0
        goal = setup.version.graph.goal_event
        self._followed = (
            store.event_types
            | SUPPRESSING_EVENT_TYPES
            | TOPIC_EVENT_TYPES
            | ({goal.event_type} if goal else set())
        )

    def run(self) -> SimulationRun:
        last = timedelta(days=self._setup.days) // TICK
        entries = [(tick, list(each)) for tick, each in groupby(self._entries, lambda e: e[0])]
        entries.reverse()
        tick, day = -1, -1
        while True:
            following = self._next_tick(tick, entries[-1][0] if entries else None)
            if following is None or following > last:
                break
            tick = following
            now = self._setup.start + tick * TICK
            while entries and entries[-1][0] <= tick:
                self._enter(entries.pop()[1], now)
            while self._ticks and self._ticks[0] <= tick:
                self._engine.receive(self._arrivals.pop(heapq.heappop(self._ticks)), now)
            self._engine.grant(TICK.total_seconds(), self._others_at(now))
            self._engine.run_due(now)
            self._react(now)
            self._note_queues(now)
            if self._progress and now.toordinal() != day:
                day = now.toordinal()
                self._progress(f"{now:%d %b}: {self._tally.sent.total():,} messages")
        for channel in self._setup.rates:
            self._result.still_queued[channel] = self._engine.queue_length(channel)
        return self._result

    def _next_tick(self, tick: int, entry: int | None) -> int | None:
        times = [] if entry is None else [entry]
        if self._ticks:
            times.append(self._ticks[0])
        due = self._engine.schedule.next_time()
        if due is not None:
            times.append(-((self._setup.start - due) // TICK))
        if self._engine.has_queue():
            times.append(tick + 1)
        return max(tick + 1, min(times)) if times else None

    def _enter(self, entries: Sequence[tuple[int, int]], now: datetime) -> None:
        population = self._setup.population
        spread = timedelta(minutes=self._setup.version.graph.trigger.spread_minutes)
        for place, (_, number) in enumerate(entries):
            person = population[number]
            contact = self._result.store.add_contact(person.contact_id, person.row)
            contact.sends += person.sends
            due_at = now + spread * (place / len(entries))
            run = self._engine.enroll(
                person.run_id, person.contact_id, now, entry=person.entry, due_at=due_at
            )
            if run.status == "refused":
                reason = run.exit_reason or ""
                self._result.refused[reason] = self._result.refused.get(reason, 0) + 1

    def _react(self, now: datetime) -> None:
        messages, self._tally.newly_sent = self._tally.newly_sent, []
        react, followed = self._setup.model.react, self._followed
        for message in messages:
            for reaction in react(message, now):
                self._tally.reacted(message, reaction.event_type)
                if reaction.event_type in followed:
                    self._plan(message, reaction)

    def _plan(self, message: MemoryMessage, reaction: Reaction) -> None:
        self._number += 1
        run = message.run
        is_of_message = reaction.is_of_message
        event = Occurrence(
            reaction.event_type,
            reaction.at,
            reaction.data,
            False,
            UUID(int=self._number),
            message.id if is_of_message else None,
            message.note.node_id if is_of_message else None,
            is_of_message,
        )
        arrival = MemoryArrival(run.contact, run if is_of_message else None, event)
        tick = -((self._setup.start - reaction.at) // TICK)
        if tick in self._arrivals:
            self._arrivals[tick].append(arrival)
        else:
            self._arrivals[tick] = [arrival]
            heapq.heappush(self._ticks, tick)

    def _others_at(self, now: datetime) -> Mapping[str, float]:
        """Return the messages a second of other campaigns, by channel."""
        if not self._setup.others:
            return {}
        hour = hour_of_week(now)
        return {
            channel: by_hour.get(hour, 0.0) / 3_600
            for channel, by_hour in self._setup.others.items()
        }

    def _note_queues(self, now: datetime) -> None:
        hour = self._tally.hour(now)
        for channel in self._setup.rates:
            length = self._engine.queue_length(channel)
            key = (hour, channel)
            if length:
                self._result.queues[key] = max(length, self._result.queues.get(key, 0))
                self._result.cleared_at[channel] = now + TICK


def hour_of_week(at: datetime) -> int:
    """Return the hour of the week in UTC; Monday 00:00 is 0."""
    return (at.weekday() * 24 + at.hour) % _HOURS_A_WEEK


def _entry_ticks(setup: SimulationSetup, refused: dict[str, int]) -> list[tuple[int, int]]:
    """Return the tick and the number of each person that enters, in order.

    The guards of the campaign limit them: those over the number of a day enter on the next day.
    """
    guards = setup.version.graph.guards
    numbers = range(len(setup.population))
    if guards.max_people is not None and len(numbers) > guards.max_people:
        refused["over_max_people"] = len(numbers) - guards.max_people
        numbers = numbers[: guards.max_people]
    planned = [(setup.entry_span * (n / len(numbers))) // TICK for n in numbers]
    if guards.per_day is None:
        return list(zip(planned, numbers, strict=True))
    zone = zone_of(setup.time_zone)
    of_day: dict[Any, int] = {}
    entries = []
    tick = 0
    for number, first in zip(numbers, planned, strict=True):
        tick = max(tick, first)
        day = (setup.start + tick * TICK).astimezone(zone).date()
        while of_day.get(day, 0) >= guards.per_day:
            local = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)
            tick = -((setup.start - local) // TICK)
            day = (setup.start + tick * TICK).astimezone(zone).date()
        of_day[day] = of_day.get(day, 0) + 1
        entries.append((tick, number))
    return entries
