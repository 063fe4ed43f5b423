"""Which of the messages that are due for a contact get a place under its frequency caps. Pure: what
counts, and what else is due, are arguments.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.domain.graph.frequency_caps import CapPeriod, FrequencyCap


class CountedMessage(NamedTuple):
    """A message that counts since a time."""

    id: UUID
    channel: str
    counted_at: datetime


class DueMessage(NamedTuple):
    """A message that is due, and does not count yet unless it is retried."""

    id: UUID
    channel: str
    priority: int

    def goes_before(self, other: DueMessage) -> bool:
        """Return whether it gets a place before another one."""
        return (-self.priority, self.id) < (-other.priority, other.id)


class CapOfContact(NamedTuple):
    """A cap in the period of a contact."""

    cap: FrequencyCap
    period: CapPeriod

    def counts(self, message: CountedMessage) -> bool:
        """Return whether a message counts."""
        return message.counted_at > self.period.after and message.channel in self.cap.channels


class FullCap(NamedTuple):
    """A cap without a place for a message, and when there is one if nothing else is sent."""

    cap: FrequencyCap
    until: datetime


class PlaceRefusal(NamedTuple):
    """Why a message does not get a place: caps that are full, or (none) messages that go first."""

    id: UUID
    full: tuple[FullCap, ...]


class Places(NamedTuple):
    """Messages that get a place, and the refusals of the others."""

    granted: list[DueMessage]
    refused: list[PlaceRefusal]


def places(
    asking: Iterable[DueMessage],
    caps: Sequence[CapOfContact],
    counted: Collection[CountedMessage],
    others: Collection[DueMessage],
    now: datetime,
) -> Places:
    """Decide which messages of a contact get a place under all caps.

    `others` are due too, but cannot get a place now: those that go before a message keep its place
    free.
    """
    granted: list[DueMessage] = []
    refused: list[PlaceRefusal] = []
    waiting = list(others)
    for message in sorted(asking, key=lambda each: (-each.priority, each.id)):
        full = []
        is_outranked = False
        for limit in caps:
            channels = limit.cap.channels
            if message.channel not in channels:
                continue
            used = [
                each.counted_at for each in counted if limit.counts(each) and each.id != message.id
            ]
            of_batch = [
                each
                for each in granted
                if each.channel in channels
                and not any(c.id == each.id and limit.counts(c) for c in counted)
            ]
            used += [now] * len(of_batch)
            if len(used) >= limit.cap.max:
                full.append(FullCap(limit.cap, _until(limit, sorted(used))))
            elif not any(each.id == message.id and limit.counts(each) for each in counted):
                ahead = sum(
                    1 for each in waiting if each.channel in channels and each.goes_before(message)
                )
                is_outranked = is_outranked or len(used) + ahead >= limit.cap.max
        if full:
            refused.append(PlaceRefusal(message.id, tuple(full)))
        elif is_outranked:
            refused.append(PlaceRefusal(message.id, ()))
            waiting.append(message)
        else:
            granted.append(message)
    return Places(granted, refused)


def _until(limit: CapOfContact, used: Sequence[datetime]) -> datetime:
    if limit.period.ends_at is not None:
        return limit.period.ends_at
    return used[len(used) - limit.cap.max] + limit.period.length
