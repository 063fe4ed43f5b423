"""Divide a stream of lines into chunks for the database.

A large chunk has one part per ingestion partition. The parts have no message and no contact in
common, so that they can be written concurrently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from drip_pipeline.db.events.ingestion import (
    ALL_PARTITIONS,
    DUPLICATE,
    IdentifiedBy,
    RejectedLine,
    StagedEvent,
)
from drip_pipeline.engine.events.event_parser import EventParser, InvalidLine
from drip_pipeline.engine.events.file_reader import SourceLine
from drip_pipeline.engine.gc_pause import no_collection

PARTED_FROM: Final = 5_000
"""Number of events from which on a chunk is written by two transactions."""


@dataclass(frozen=True, slots=True)
class ChunkPart:
    """The input of one transaction: distinct valid events, and lines that are already rejected.

    `partitions` are the ingestion partitions of the events, `identified_by` all ways in which they
    name their recipients, `months` all months of events parsed so far. `may_convert` says whether
    any event type can be the goal of a campaign.
    """

    events: Sequence[StagedEvent]
    rejected: Sequence[RejectedLine]
    source_lines: Mapping[int, SourceLine]
    partitions: tuple[int, ...] = ALL_PARTITIONS
    identified_by: frozenset[IdentifiedBy] = frozenset()
    months: frozenset[str] = frozenset()
    may_convert: bool = False

    def halves(self) -> tuple[ChunkPart, ChunkPart]:
        """Return two parts with half of the events each, without the rejected lines."""
        middle = len(self.events) // 2
        return (
            replace(self, events=self.events[:middle], rejected=()),
            replace(self, events=self.events[middle:], rejected=()),
        )


@dataclass(frozen=True, slots=True)
class EventChunk:
    """Consecutive lines of a source, parsed. `lines` is their number."""

    parts: Sequence[ChunkPart]
    lines: int


def read_chunks(
    lines: Iterator[SourceLine], parser: EventParser, chunk_size: int
) -> Iterator[EventChunk]:
    """Parse all lines, in chunks of this number of lines."""
    while True:
        with no_collection():
            source_lines = list(islice(lines, chunk_size))
            chunk = _parse(source_lines, parser) if source_lines else None
        if chunk is None:
            return
        yield chunk


@dataclass(slots=True)
class _ParsedLines:
    events: list[list[StagedEvent]] = field(default_factory=lambda: [[] for _ in ALL_PARTITIONS])
    rejected: list[RejectedLine] = field(default_factory=list)
    identified_by: set[IdentifiedBy] = field(default_factory=set)
    may_convert: bool = False


def _parse(source_lines: Sequence[SourceLine], parser: EventParser) -> EventChunk:
    parsed = _ParsedLines()
    keys: set[str] = set()
    for number, line, _, problem in source_lines:
        if line is None:
            parsed.rejected.append(RejectedLine(number, problem or "unreadable"))
            continue
        try:
            event = parser.parse(number, line)
        except InvalidLine as invalid:
            parsed.rejected.append(RejectedLine(number, str(invalid)))
            continue
        if event.event_key in keys:
            parsed.rejected.append(RejectedLine(number, DUPLICATE))
        else:
            keys.add(event.event_key)
            parsed.events[event.partition].append(event)
            parsed.identified_by.add(event.identified_by)
            parsed.may_convert |= event.may_convert
    parts = _parts(source_lines, parsed, frozenset(parser.months))
    return EventChunk(parts, len(source_lines))


def _parts(
    source_lines: Sequence[SourceLine], parsed: _ParsedLines, months: frozenset[str]
) -> Sequence[ChunkPart]:
    whole = ChunkPart(
        [event for events in parsed.events for event in events],
        parsed.rejected,
        {line.line_number: line for line in source_lines},
        identified_by=frozenset(parsed.identified_by),
        months=months,
        may_convert=parsed.may_convert,
    )
    # A purchase is attributed to a message that events of the other partition may name.
    if whole.may_convert or len(whole.events) < PARTED_FROM:
        return [whole]
    return [
        replace(
            whole,
            events=events,
            rejected=() if partition else parsed.rejected,
            partitions=(partition,),
        )
        for partition, events in enumerate(parsed.events)
    ]
