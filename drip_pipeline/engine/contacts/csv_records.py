"""Split CSV text into records, and never take the inside of a cell for a row.

Python's csv module reads on after an unclosed quotation mark, up to its limit, and then continues
inside the cell. Here a quoted cell must end with a quotation mark before a delimiter or the end of
the line; otherwise where it ends is unknown, and the file is refused with the line of its start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from drip_pipeline.errors import ImportFileError

MAX_CELL: Final = 131_072
"""Characters of a cell; a row with a longer one is rejected."""
MAX_LINE: Final = 8_000_000
"""Characters of a line; a file with a longer one is refused, because it cannot be CSV."""
_QUOTED: Final = re.compile(r'[^"]*(?:""[^"]*)*')
_ADDRESS: Final = re.compile(r'\s*"?[^\s@",;|]+@[^\s@",;|]+\.[^\s@",;|]+"?\s*')
_HINT: Final = (
    "Nothing was imported. Inside a cell that begins with a quotation mark, each further one must "
    "be doubled, and one must end it."
)

Record = tuple[int, list[str] | str]
"""The line where a record starts, and its cells or the reason why it is rejected."""


class CsvRecords:
    """The records of an open file. The counts are those of the lines read so far."""

    def __init__(self, path: Path, file: TextIO, delimiter: str, *, skip: int = 0) -> None:
        self._path = path
        self._file = file
        self._delimiter = delimiter
        self.width: int | None = None
        self.line = 0
        self.blank = 0
        self.inside_cells = 0
        for _ in range(skip):
            self._next_line()

    def __iter__(self) -> Iterator[Record]:
        """Read the records. Raises ImportFileError where the end of a cell cannot be determined."""
        delimiter = self._delimiter
        while text := self._next_line():
            if '"' in text:
                yield self._quoted_record(text)
                continue
            body = text.rstrip("\r\n")
            if not body or body.isspace():
                self.blank += 1
                continue
            cells = body.split(delimiter)
            if len(body) > MAX_CELL and any(len(cell) > MAX_CELL for cell in cells):
                yield self.line, "cell_too_long"
            else:
                yield self.line, cells

    def _next_line(self) -> str:
        text = self._file.readline(MAX_LINE)
        if text:
            self.line += 1
        if len(text) >= MAX_LINE:
            raise ImportFileError(
                str(self._path),
                f"the line has more than {MAX_LINE:,} characters",
                line=self.line,
                hint="Nothing was imported.",
            )
        return text

    def _quoted_record(self, text: str) -> Record:
        """Read a record whose first line has a quotation mark."""
        first = self.line
        reason: str | None = None
        cells: list[str] = []
        position = 0
        while True:
            start = _after_spaces(text, position)
            if text.startswith('"', start):
                text, position, cell, fault = self._quoted_cell(text, start + 1, cells)
                cells.append(cell)
                reason = reason or fault
                if position == len(text) or text[position] in "\r\n":
                    break
                position += 1
                continue
            end = text.find(self._delimiter, position)
            cell = text[position:end] if end >= 0 else text[position:].rstrip("\r\n")
            if len(cell) > MAX_CELL:
                reason = reason or "cell_too_long"
            cells.append(cell)
            if end < 0:
                break
            position = end + 1
        return first, cells if reason is None else reason

    def _quoted_cell(
        self, text: str, position: int, before: list[str]
    ) -> tuple[str, int, str, str | None]:
        """Read a quoted cell from the character after its quotation mark.

        Returns the line where it ends, the position of the delimiter or line end behind it, its
        content, and the reason if the record is rejected.
        """
        first = self.line
        parts: list[str] = []
        size = 0
        reason: str | None = None
        while True:
            match = _QUOTED.match(text, position)
            end = match.end() if match else position
            size += end - position
            if size <= MAX_CELL:
                parts.append(text[position:end])
            else:
                reason = reason or "cell_too_long"
            is_closed = end < len(text)
            if self.line > first and self._is_row(text[:end], before, is_whole=not is_closed):
                reason = "cell_contains_rows"
            if is_closed:
                break
            text = self._next_line()
            if not text:
                raise ImportFileError(
                    str(self._path),
                    "the cell that begins with a quotation mark here never ends",
                    line=first,
                    hint=_HINT,
                )
            self.inside_cells += 1
            position = 0
        after = _after_spaces(text, end + 1)
        if after < len(text) and text[after] not in "\r\n" and text[after] != self._delimiter:
            where = "" if self.line == first else f" (it comes to a stray one in line {self.line})"
            raise ImportFileError(
                str(self._path),
                f"a cell that begins with a quotation mark here has a stray one inside{where}",
                line=first,
                hint=_HINT,
            )
        return text, after, "".join(parts).replace('""', '"'), reason

    def _is_row(self, text: str, before: list[str], *, is_whole: bool) -> bool:
        """Return whether a line inside a cell looks like a row of the file.

        Two stray quotation marks make one cell of all rows between them.
        """
        if self.width is None:
            return False
        pieces = text.rstrip("\r\n").split(self._delimiter)
        if len(pieces) != self.width and (is_whole or len(pieces) < 2):
            return False
        at = next((n for n, cell in enumerate(before) if _ADDRESS.fullmatch(cell)), None)
        looked_at = pieces if at is None else pieces[at : at + 1]
        return any(_ADDRESS.fullmatch(piece) for piece in looked_at)


def _after_spaces(text: str, position: int) -> int:
    while text.startswith(" ", position):
        position += 1
    return position
