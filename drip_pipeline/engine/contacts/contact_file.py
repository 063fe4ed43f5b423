"""The types that readers of contact files share: a file's columns, rows, and line counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Line = tuple[int, Sequence[Any] | str]
"""A row number (the line in CSV, the row from 1 in Parquet), with the cells of the row, or with the
reason why it cannot be read."""


@dataclass(frozen=True, slots=True)
class UnreadableCell:
    """A typed cell that Python cannot hold; `reason` is the code of the fault."""

    reason: str


class RaggedRow(str):
    """The reason of a row with another number of cells than the header, with its cells."""

    cells: Sequence[str]

    def __new__(cls, cells: Sequence[str]) -> RaggedRow:
        """Keep the cells: they may say that the contact must not get messages."""
        row = super().__new__(cls, "wrong_number_of_cells")
        row.cells = cells
        return row


@dataclass(frozen=True, slots=True)
class LineCounts:
    """The lines of a CSV file: lines = before_rows + blank + inside_cells + rows.

    `before_rows` are the header and the lines above it, `inside_cells` the further lines of cells
    with line breaks, `rows` the rows in any state, also unreadable ones.
    """

    lines: int
    before_rows: int
    blank: int
    inside_cells: int
    rows: int


class ContactFile(Protocol):
    """A contact file; it can be read several times."""

    @property
    def path(self) -> Path:
        """The path as errors and reports show it."""

    @property
    def columns(self) -> Sequence[str]:
        """The column names as in the file; a name can occur several times."""

    @property
    def is_typed(self) -> bool:
        """Whether cells have types; otherwise all are text."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know about how the file is read."""

    @property
    def unsupported(self) -> dict[int, str]:
        """The indices of columns whose type contacts cannot have, with that type's name."""

    @property
    def line_counts(self) -> LineCounts | None:
        """The lines of the last complete reading; None for formats without lines."""

    def lines(self) -> Iterator[Line]:
        """Read all rows in order. Raises ImportFileError where the file cannot be read on."""
