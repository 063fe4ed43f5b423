"""Files of contacts as columns and rows: CSV (read as a stream) and Parquet. What a column means
and whether a row will do is decided in contact_rows.py.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from drip_pipeline.errors import ImportFileError

DELIMITERS: Final = (",", ";", "\t", "|")
_PARQUET_MAGIC: Final = b"PAR1"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_PARQUET_BATCH: Final = 5_000

Line = tuple[int, Sequence[Any] | str]
"""A row with its number (a line of the file in CSV, a row from 1 on in Parquet), or in place of its
cells the reason why it cannot be read."""


class ContactFile(Protocol):
    """A file that is read from its beginning as often as needed."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of its columns, as they stand there."""

    @property
    def is_typed(self) -> bool:
        """Whether cells have types of their own; otherwise all are text."""

    def lines(self) -> Iterator[Line]:
        """All rows in their order."""


def open_contact_file(path: Path) -> ContactFile:
    """The file, by its content: Parquet, or else CSV. Raises ImportFileError, or OSError."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == _PARQUET_MAGIC:
        return ParquetFile(path)
    if start[:2] in _UTF16_MARKS:
        raise ImportFileError(str(path), "it is UTF-16, not UTF-8", hint="Save it as CSV in UTF-8.")
    return CsvFile(path)


class CsvFile:
    """A CSV file with a line of names; comma, semicolon, tab or bar between cells."""

    is_typed = False

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            first = file.readline()
        if not first.strip():
            raise ImportFileError(str(path), "it is empty", hint="The first line names columns.")
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
        """Rows with the line they begin in. Blank lines are passed over."""
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

    def _opened(self) -> Any:
        # A byte that is not UTF-8 spoils its own line only; the row reader finds the surrogate.
        return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _fitted(cells: list[str], width: int) -> list[str] | str:
    """Programs leave out, or add, empty cells at the end of a line; anything else is a shift."""
    if len(cells) > width and not any(cells[width:]):
        return cells[:width]
    return "wrong_number_of_cells"


class ParquetFile:
    """A Parquet file: cells come as the Python values of their types."""

    is_typed = True

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        self.path = path
        try:
            self._file = pyarrow.parquet.ParquetFile(path)
        except pyarrow.ArrowException as error:
            raise ImportFileError(str(path), f"is no readable Parquet file ({error})") from None
        self.columns: Sequence[str] = list(self._file.schema_arrow.names)
        _refuse_repeated(path, self.columns)

    def lines(self) -> Iterator[Line]:
        """Rows, numbered from 1 on."""
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
        raise ImportFileError(str(path), f"column {twice[0]!r} stands there twice")
