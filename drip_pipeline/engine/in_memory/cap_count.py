"""Frequency caps in memory: whether a contact may get one more message, as the statement
`reserve_capped` decides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.graph.frequency_caps import FrequencyCap


class CountedSend(NamedTuple):
    """A message that counts in caps."""

    at: datetime
    channel: str


class CapHold(NamedTuple):
    """The cap that holds a message until a time, or skips it (`until` is None)."""

    rule: str
    until: datetime | None


def hold_by_caps(
    caps: Sequence[FrequencyCap],
    channel: str,
    sends: Sequence[CountedSend],
    *,
    zone: str | None,
    queued_at: datetime,
    now: datetime,
) -> CapHold | None:
    """Return what holds or skips a message of this channel, None if it may be sent."""
    full: list[tuple[FrequencyCap, datetime]] = []
    for cap in caps:
        if channel not in cap.channels:
            continue
        period = cap.period(now, zone_of(zone) if cap.reads_zone and zone else UTC)
        times = sorted(s.at for s in sends if s.channel in cap.channels and s.at > period.after)
        if len(times) >= cap.max:
            # The message fits once so many have left the period that one place is free.
            until = period.ends_at or times[len(times) - cap.max] + period.length
            full.append((cap, until))
    if not full:
        return None
    latest, until = max(full, key=lambda each: each[1])
    for cap, _ in full:
        if cap.skips(until, queued_at):
            return CapHold(cap.reason, None)
    return CapHold(latest.reason, until)
