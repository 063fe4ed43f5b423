"""What is due when: runs and queued messages by their due times."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import datetime
from typing import Generic, TypeVar

from drip_pipeline.engine.in_memory.store import MemoryMessage, MemoryRun

Item = TypeVar("Item")


class Schedule:
    """The due runs, and the outbox by channel."""

    def __init__(self) -> None:
        self._runs: DueTimes[MemoryRun] = DueTimes()
        self._messages: dict[str, DueTimes[MemoryMessage]] = {}

    def add_runs(self, due_at: datetime, runs: Iterable[MemoryRun]) -> None:
        """Make runs due. A run that moves on before has another due time, and is left out then."""
        self._runs.add(due_at, runs)

    def add_messages(
        self, channel: str, due_at: datetime, messages: Iterable[MemoryMessage]
    ) -> None:
        """Put messages into the outbox."""
        self._messages.setdefault(channel, DueTimes()).add(due_at, messages)

    def due_runs(self, now: datetime) -> list[MemoryRun]:
        """Take the runs that are due, each once."""
        due: dict[int, MemoryRun] = {}
        for due_at, runs in self._runs.take(now):
            for run in runs:
                if run.due_at == due_at and run.is_open:
                    due[id(run)] = run
        for run in due.values():
            run.due_at = None
        return list(due.values())

    def due_messages(self, channel: str, now: datetime) -> list[MemoryMessage]:
        """Take the messages of a channel that are due, in the order of their due times."""
        return [m for _, messages in self._messages[channel].take(now) for m in messages]

    def channels(self) -> list[str]:
        """Return the channels of the messages so far."""
        return sorted(self._messages)

    def next_time(self) -> datetime | None:
        """Return the earliest due time, None if nothing is scheduled."""
        times = [self._runs.first(), *(queue.first() for queue in self._messages.values())]
        return min((time for time in times if time is not None), default=None)

    def has_due(self, now: datetime) -> bool:
        """Return whether anything is due."""
        first = self.next_time()
        return first is not None and first <= now


class DueTimes(Generic[Item]):
    """Items by due time. Thousands that are due together cost one entry of the heap."""

    def __init__(self) -> None:
        self._items: dict[datetime, list[Item]] = {}
        self._times: list[datetime] = []

    def add(self, due_at: datetime, items: Iterable[Item]) -> None:
        """Add items that are due at the same time."""
        items = list(items)
        if not items:
            return
        if due_at in self._items:
            self._items[due_at] += items
        else:
            self._items[due_at] = items
            heapq.heappush(self._times, due_at)

    def first(self) -> datetime | None:
        """Return the earliest due time."""
        return self._times[0] if self._times else None

    def take(self, now: datetime) -> list[tuple[datetime, list[Item]]]:
        """Take the items that are due, by time."""
        taken = []
        while self._times and self._times[0] <= now:
            due_at = heapq.heappop(self._times)
            taken.append((due_at, self._items.pop(due_at)))
        return taken
