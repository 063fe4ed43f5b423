"""Address lists: one address per line, or the column `email` of a CSV or Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drip_pipeline.engine.contacts.contact_file import UnreadableCell
from drip_pipeline.engine.contacts.file_formats import open_source
from drip_pipeline.engine.contacts.header_names import contact_field
from drip_pipeline.engine.contacts.sources import Source
from drip_pipeline.errors import ImportFileError


@dataclass(frozen=True, slots=True)
class AddressList:
    """The addresses of a file in order, and its unreadable rows as (line, reason)."""

    addresses: Sequence[str]
    rejected: Sequence[tuple[int, str]] = ()


def addresses_in(path: Path) -> AddressList:
    """Return the addresses of a file, without blank lines and lines that start with #.

    `-` is standard input; pipes and gzip are read too. Raises ImportFileError for a file with
    columns of which none is `email`, or OSError.
    """
    source = Source(path)
    with source.read_errors(), source.open() as file:
        first = file.readline(10_000)
        if b"@" in first or first.startswith(b"#"):
            return AddressList(_plain_lines(first + file.read()))
    table = open_source(source)
    exact = [index for index, name in enumerate(table.columns) if name.lower() == "email"]
    similar = [index for index, name in enumerate(table.columns) if contact_field(name) == "email"]
    if not similar:
        raise ImportFileError(
            str(source.path),
            "has no addresses: neither one per line nor a column `email`",
            hint="Put one address on each line.",
        )
    index = (exact or similar)[0]
    addresses: list[str] = []
    rejected: list[tuple[int, str]] = []
    for line, cells in table.lines():
        if isinstance(cells, str):
            rejected.append((line, cells))
            continue
        cell: Any = cells[index]
        if isinstance(cell, UnreadableCell):
            rejected.append((line, cell.reason))
        elif cell is not None and (text := str(cell).strip()):
            addresses.append(text)
    return AddressList(addresses, rejected)


def _plain_lines(content: bytes) -> list[str]:
    text = content.decode("utf-8-sig", errors="replace")
    lines = (line.strip().strip(",;").strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
