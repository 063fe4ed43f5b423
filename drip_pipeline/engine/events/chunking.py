"""Divide a stream of lines into chunks for the database.

A large chunk has one part per ingestion partition. The parts have no message and no contact in
common, so that they can be written concurrently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from drip_pipeline.db.events.ingestion import (
    ALL_PARTITIONS,
    DUPLICATE,
    IdentifiedBy,
    RejectedLine,
    StagedEvent,
)
from drip_pipeline.domain.events.vocabulary import (
    GOAL_EVENT_TYPES,
    PROVIDER_EVENT_TYPES,
    SUPPRESSING_EVENT_TYPES,
    TOPIC_EVENT_TYPES,
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
    any event type can be the goal of a campaign, `has_own_names` whether any is outside the
    vocabulary, `may_suppress` whether any can put a recipient on a suppression list or take one off
    it, `has_topics` whether any joins or leaves a topic.
    """

    events: Sequence[StagedEvent]
    rejected: Sequence[RejectedLine]
    source_lines: Mapping[int, SourceLine]
    partitions: tuple[int, ...] = ALL_PARTITIONS
    identified_by: frozenset[IdentifiedBy] = frozenset()
    months: frozenset[str] = frozenset()
    may_convert: bool = False
    has_own_names: bool = False
    may_suppress: bool = False
    has_topics: bool = False

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


def unreadable(error: Exception) -> str:
    """Return the reason of a line that could not be read. The class name only: the text may quote
    the line."""
    return f"the line cannot be read ({type(error).__name__})"


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


def _parse(source_lines: Sequence[SourceLine], parser: EventParser) -> EventChunk:
    # Local variables, because this loop passes up to a million lines a minute.
    by_partition: list[list[StagedEvent]] = [[] for _ in ALL_PARTITIONS]
    rejected: list[RejectedLine] = []
    identified_by: set[IdentifiedBy] = set()
    keys: set[str] = set()
    parser.event_types.clear()
    for number, line, _, problem in source_lines:
        if line is None:
            rejected.append(RejectedLine(number, problem or "unreadable"))
            continue
        try:
            event = parser.parse(number, line)
        except InvalidLine as invalid:
            rejected.append(RejectedLine(number, str(invalid)))
            continue
        except Exception as error:  # noqa: BLE001 - whatever it is, it costs this line only
            rejected.append(RejectedLine(number, unreadable(error)))
            continue
        if event.event_key in keys:
            rejected.append(RejectedLine(number, DUPLICATE))
        else:
            keys.add(event.event_key)
            by_partition[event.partition].append(event)
            identified_by.add(event.identified_by)
    has_own_names = not parser.event_types <= PROVIDER_EVENT_TYPES
    whole = ChunkPart(
        (),
        rejected,
        {line.line_number: line for line in source_lines},
        identified_by=frozenset(identified_by),
        months=frozenset(parser.months),
        may_convert=has_own_names or not GOAL_EVENT_TYPES.isdisjoint(parser.event_types),
        has_own_names=has_own_names,
        may_suppress=not SUPPRESSING_EVENT_TYPES.isdisjoint(parser.event_types),
        has_topics=not TOPIC_EVENT_TYPES.isdisjoint(parser.event_types),
    )
    return EventChunk(_parts(whole, by_partition), len(source_lines))


def _parts(whole: ChunkPart, by_partition: Sequence[Sequence[StagedEvent]]) -> list[ChunkPart]:
    # A purchase is attributed to a message that events of the other partition may name.
    if whole.may_convert or sum(map(len, by_partition)) < PARTED_FROM:
        return [replace(whole, events=[event for events in by_partition for event in events])]
    return [
        replace(
            whole,
            events=events,
            rejected=() if partition else whole.rejected,
            partitions=(partition,),
        )
        for partition, events in enumerate(by_partition)
    ]
