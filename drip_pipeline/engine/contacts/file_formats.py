"""Contact files as columns and rows: CSV (streamed) and Parquet.

The meaning of columns belongs to column_mapping.py, validation of rows to row_parser.py.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from drip_pipeline.errors import ImportFileError

DELIMITERS: Final = (",", ";", "\t", "|")
_PARQUET_MAGIC: Final = b"PAR1"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_PARQUET_BATCH: Final = 5_000

Line = tuple[int, Sequence[Any] | str]
"""A row number (the line in CSV, the row from 1 in Parquet), with the cells of the row, or with the
reason why it cannot be read."""


class ContactFile(Protocol):
    """A contact file; it can be read several times."""

    @property
    def path(self) -> Path:
        """The path."""

    @property
    def columns(self) -> Sequence[str]:
        """The column names as in the file."""

    @property
    def is_typed(self) -> bool:
        """Whether cells have types; otherwise all are text."""

    def lines(self) -> Iterator[Line]:
        """Read all rows in order."""


def open_contact_file(path: Path) -> ContactFile:
    """Open a file by its content: Parquet, otherwise CSV. Raises ImportFileError or OSError."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == _PARQUET_MAGIC:
        return ParquetFile(path)
    if start[:2] in _UTF16_MARKS:
        raise ImportFileError(str(path), "it is UTF-16, not UTF-8", hint="Save it as CSV in UTF-8.")
    return CsvFile(path)


class CsvFile:
    """A CSV file with a header; delimited by comma, semicolon, tab or bar."""

    is_typed = False

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            first = file.readline()
        if not first.strip():
            raise ImportFileError(str(path), "it is empty", hint="The first line must be a header.")
        self._delimiter = max(DELIMITERS, key=first.count)
        with self._opened() as file:
            reader = csv.reader(file, delimiter=self._delimiter)
            try:
                names = next(reader)
            except csv.Error as error:
                raise ImportFileError(str(path), str(error), line=1) from None
        self.columns: Sequence[str] = [name.strip() for name in names]
        _refuse_repeated(path, self.columns)

    def lines(self) -> Iterator[Line]:
        """Read rows with the line of their start. Blank lines are skipped."""
        width = len(self.columns)
        with self._opened() as file:
            reader = csv.reader(file, delimiter=self._delimiter)
            next(reader)
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    yield line, "unreadable_line"
                    continue
                if len(cells) == width:
                    yield line, cells
                elif cells:
                    yield line, _fitted(cells, width)

    def _opened(self) -> TextIO:
        # A byte that is not UTF-8 rejects only its own line: the row parser finds the surrogate.
        return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _fitted(cells: list[str], width: int) -> list[str] | str:
    """Remove empty cells that programs add at the end of a line; otherwise return the reason."""
    if len(cells) > width and not any(cells[width:]):
        return cells[:width]
    return "wrong_number_of_cells"


class ParquetFile:
    """A Parquet file: cells are Python values of their types."""

    is_typed = True

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        self.path = path
        try:
            self._file = pyarrow.parquet.ParquetFile(path)
        except pyarrow.ArrowException as error:
            raise ImportFileError(str(path), f"is not a readable Parquet file ({error})") from None
        self.columns: Sequence[str] = list(self._file.schema_arrow.names)
        _refuse_repeated(path, self.columns)

    def lines(self) -> Iterator[Line]:
        """Read rows, numbered from 1."""
        number = 0
        for batch in self._file.iter_batches(batch_size=_PARQUET_BATCH):
            columns = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                number += 1
                yield number, cells


def _refuse_repeated(path: Path, columns: Sequence[str]) -> None:
    named = [name for name in columns if name]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise ImportFileError(str(path), f"column {twice[0]!r} occurs twice")
