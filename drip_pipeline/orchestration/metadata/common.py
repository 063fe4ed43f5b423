"""Format values as Dagster metadata: tables, counts, sentences.

Which values are shown is decided by the other modules of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol

import dagster as dg

MAX_ROWS: Final = 20

Metadata = dict[str, dg.MetadataValue | str | int | float]
"""Metadata entries by label."""


class NamedRow(Protocol):
    """A NamedTuple."""

    def _asdict(self) -> dict[str, Any]: ...


def table(
    rows: Iterable[Mapping[str, object] | NamedRow],
    columns: Sequence[str] | None = None,
    *,
    max_rows: int = MAX_ROWS,
) -> dg.MarkdownMetadataValue:
    """Format mappings or NamedTuples as a Markdown table.

    `columns` selects and orders the columns; the default is those of the first row. Rows beyond
    `max_rows` are only counted.
    """
    records = [row if isinstance(row, Mapping) else row._asdict() for row in rows]
    if not records:
        return dg.MetadataValue.md("*none*")
    names = list(columns) if columns is not None else list(records[0])
    numeric = {name: _is_numeric(records, name) for name in names}
    lines = [
        _line(_heading(name) for name in names),
        _line("---:" if numeric[name] else ":---" for name in names),
        *(_line(_cell(row.get(name)) for name in names) for row in records[:max_rows]),
    ]
    if len(records) > max_rows:
        lines.append(f"\n… and {len(records) - max_rows:,} more")
    return dg.MetadataValue.md("\n".join(lines))


def counts(by_name: Mapping[str, int], name: str, of: str) -> dg.MarkdownMetadataValue:
    """Format `{"waiting": 12}` as a table of the columns `name` and `of`."""
    return table([{name: key, of: count} for key, count in by_name.items()])


def sentence(by_name: Mapping[str, int], nothing: str = "nothing") -> str:
    """Format `{"waiting": 1200}` as `1,200 waiting`; entries are separated by commas."""
    parts = [f"{count:,} {name.replace('_', ' ')}" for name, count in by_name.items()]
    return ", ".join(parts) or nothing


def seconds(value: float) -> dg.FloatMetadataValue:
    """Format a duration in seconds, to the millisecond."""
    return dg.MetadataValue.float(round(value, 3))


def _heading(name: str) -> str:
    return name.replace("_pct", " %").replace("_", " ")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _is_numeric(rows: Sequence[Mapping[str, object]], name: str) -> bool:
    values = [row.get(name) for row in rows]
    return all(
        value is None or (isinstance(value, (int, float, Decimal)) and not isinstance(value, bool))
        for value in values
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    # Names of campaigns and nodes are free text: a bar or a line break would end the cell.
    return str(value).replace("|", "\\|").replace("\n", " ")
