"""CSV files: find the delimiter and the header, and read the rows below it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from drip_pipeline.engine.contacts.contact_file import Line, LineCounts, RaggedRow
from drip_pipeline.engine.contacts.csv_records import MAX_LINE, CsvRecords
from drip_pipeline.engine.contacts.header_names import contact_field
from drip_pipeline.engine.contacts.sources import Source
from drip_pipeline.errors import ImportFileError

DELIMITERS: Final = (",", ";", "\t", "|")
_SEPARATOR_LINE: Final = re.compile(r'\s*"?sep=([,;\t|])"?\s*', re.IGNORECASE)
_LOOKED_AT: Final = 12


class CsvFile:
    """A CSV file with a header; delimited by comma, semicolon, tab or bar.

    Above the header may be blank lines, a line `sep=;`, and titles of one cell.
    """

    is_typed = False

    def __init__(self, source: Source) -> None:
        self.path: Path = source.path
        self.notes: Sequence[str] = ()
        self.unsupported: dict[int, str] = {}
        self.line_counts: LineCounts | None = None
        self._source = source
        with source.read_errors(), self._opened() as file:
            lines = [file.readline(MAX_LINE) for _ in range(_LOOKED_AT)]
        self._skipped, delimiter, titles = _above_header(lines)
        if self._skipped == len(lines) or not lines[self._skipped]:
            raise ImportFileError(
                str(self.path), "it is empty", hint="The first line must be a header."
            )
        if titles:
            which = f"line {titles[0]} is" if len(titles) == 1 else f"lines {titles} are"
            self.notes = (f"{which} taken for a title, and skipped",)
        self._delimiter, self.columns, self._header_lines = self._header(delimiter)

    def lines(self) -> Iterator[Line]:
        """Read rows with the line of their start. Blank lines are skipped."""
        width = len(self.columns)
        rows = 0
        with self._source.read_errors(), self._opened() as file:
            records = CsvRecords(self.path, file, self._delimiter, skip=self._header_lines)
            records.width = width
            for line, cells in records:
                rows += 1
                if isinstance(cells, str) or len(cells) == width:
                    yield line, cells
                else:
                    yield line, _fitted(cells, width)
        self.line_counts = LineCounts(
            records.line, self._header_lines, records.blank, records.inside_cells, rows
        )

    def _header(self, delimiter: str | None) -> tuple[str, list[str], int]:
        """Return the delimiter that splits the header best, the names, and the lines to skip.

        The best header has most contact fields, and then most columns.
        """
        best: tuple[str, list[str], int] | None = None
        most = (0, 0)
        fault: ImportFileError | None = None
        for candidate in DELIMITERS if delimiter is None else (delimiter,):
            with self._source.read_errors(), self._opened() as file:
                records = CsvRecords(self.path, file, candidate, skip=self._skipped)
                try:
                    _, cells = next(iter(records))
                except ImportFileError as error:
                    fault = fault or error
                    continue
            if isinstance(cells, list):
                named = sum(contact_field(cell) is not None for cell in cells)
                if (named, len(cells)) > most:
                    most = (named, len(cells))
                    best = (candidate, [cell.strip() for cell in cells], records.line)
        if best is None or (fault is not None and most == (0, 1)):
            raise fault or ImportFileError(str(self.path), "the header is too long")
        return best

    def _opened(self) -> TextIO:
        # A byte that is not UTF-8 costs only its own cell: the row parser finds the surrogate.
        return io.TextIOWrapper(
            self._source.open(), encoding="utf-8-sig", errors="surrogateescape", newline=""
        )


def _above_header(lines: Sequence[str]) -> tuple[int, str | None, list[int]]:
    """Return the number of lines above the header, the delimiter if a line names it, and the
    numbers of title lines among them.
    """
    delimiter = None
    first = 0
    while first < len(lines) and lines[first] and not lines[first].strip():
        first += 1
    if first < len(lines) and (named := _SEPARATOR_LINE.fullmatch(lines[first])):
        delimiter = named[1]
        first += 1
        while first < len(lines) and lines[first] and not lines[first].strip():
            first += 1
    for number in range(first + 1, len(lines)):
        for candidate in DELIMITERS if delimiter is None else (delimiter,):
            above = [_split(line, candidate) for line in lines[first:number]]
            if all(sum(map(bool, cells)) <= 1 for cells in above) and _is_header(
                _split(lines[number], candidate)
            ):
                if any(contact_field(cells[0]) for cells in above if cells):
                    continue
                titles = [first + n + 1 for n, cells in enumerate(above) if any(cells)]
                return number, candidate, titles
    return first, delimiter, []


def _is_header(cells: Sequence[str]) -> bool:
    named = [cell for cell in cells if cell]
    has_field = any(contact_field(cell) is not None for cell in named)
    return len(named) >= 2 and has_field and not any("@" in cell for cell in named)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in cells]


def _fitted(cells: list[str], width: int) -> list[str] | str:
    """Remove empty cells that programs add at the end of a line; otherwise return the reason."""
    if len(cells) > width and not any(cells[width:]):
        return cells[:width]
    return RaggedRow(cells)
