"""Cutting a stream of lines into slices for the database. A large slice comes in parts that have no
message and no person in common, so that they can be written at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from drip_pipeline.db.events.ingestion import ALL_PARTITIONS, DUPLICATE, RejectedLine
from drip_pipeline.engine.events.event_parser import BadLine, LineReader, Named
from drip_pipeline.engine.events.file_reader import SourceLine
from drip_pipeline.engine.gc_pause import no_collection

PARTED_FROM: Final = 5_000
"""Rows from which on a slice is worth two transactions."""


@dataclass(frozen=True, slots=True)
class ChunkPart:
    """What one transaction is to write: `rows` are good lines by number, each event once, `misfits`
    those that are not taken. `lanes` are those of the rows; `named_by` says how any row names its
    person, `months` where in time any row so far lies.
    """

    rows: Sequence[tuple[int, str]]
    misfits: Sequence[RejectedLine]
    source_lines: Mapping[int, SourceLine]
    lanes: tuple[int, ...] = ALL_PARTITIONS
    named_by: frozenset[Named] = frozenset()
    months: frozenset[str] = frozenset()
    may_convert: bool = False
    """Whether any row is of a kind that a campaign may have for its goal."""

    def halves(self) -> tuple[ChunkPart, ChunkPart]:
        """The same rows in two parts, without the misfits."""
        middle = len(self.rows) // 2
        return (
            replace(self, rows=self.rows[:middle], misfits=()),
            replace(self, rows=self.rows[middle:], misfits=()),
        )


@dataclass(frozen=True, slots=True)
class EventChunk:
    """Some lines of a source, read and checked."""

    parts: Sequence[ChunkPart]
    lines: int


def read_chunks(
    lines: Iterator[SourceLine], reader: LineReader, chunk_size: int
) -> Iterator[EventChunk]:
    """All lines in slices of this size."""
    while True:
        with no_collection():
            chunk = list(islice(lines, chunk_size))
            found = _checked(chunk, reader) if chunk else None
        if found is None:
            return
        yield found


@dataclass(slots=True)
class _Gathered:
    rows: list[list[tuple[int, str]]] = field(default_factory=lambda: [[] for _ in ALL_PARTITIONS])
    misfits: list[RejectedLine] = field(default_factory=list)
    named_by: set[Named] = field(default_factory=set)
    may_convert: bool = False


def _checked(chunk: Sequence[SourceLine], reader: LineReader) -> EventChunk:
    found = _Gathered()
    keys: set[str] = set()
    for number, line, _, problem in chunk:
        if line is None:
            found.misfits.append((number, problem or "unreadable"))
            continue
        try:
            row = reader.read(number, line)
        except BadLine as bad:
            found.misfits.append((number, str(bad)))
            continue
        if row.event_key in keys:
            found.misfits.append((number, DUPLICATE))
        else:
            keys.add(row.event_key)
            found.rows[row.lane].append((number, row.copy_text))
            found.named_by.add(row.named_by)
            found.may_convert |= row.may_convert
    return EventChunk(_parts(chunk, found, frozenset(reader.months)), len(chunk))


def _parts(
    chunk: Sequence[SourceLine], found: _Gathered, months: frozenset[str]
) -> Sequence[ChunkPart]:
    source_lines = {line.line_number: line for line in chunk}
    named_by = frozenset(found.named_by)
    if found.may_convert or sum(map(len, found.rows)) < PARTED_FROM:
        # A purchase is credited to a message that other lines name: the lanes would meet there.
        together = [row for rows in found.rows for row in rows]
        return [
            ChunkPart(
                together,
                found.misfits,
                source_lines,
                ALL_PARTITIONS,
                named_by,
                months,
                found.may_convert,
            )
        ]
    return [
        ChunkPart(rows, () if lane else found.misfits, source_lines, (lane,), named_by, months)
        for lane, rows in enumerate(found.rows)
    ]
