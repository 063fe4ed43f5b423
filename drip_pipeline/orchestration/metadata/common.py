"""Figures as Dagster shows them: tables, counts, times. What is worth showing, the ops and assets
decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import dagster as dg

MOST_ROWS: Final = 20


def table(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
    *,
    most_rows: int = MOST_ROWS,
) -> dg.MarkdownMetadataValue:
    """Dictionaries as a markdown table; `columns` chooses and orders, by default all of the first
    row. Rows beyond `most_rows` are counted, not shown.
    """
    listed = list(rows)
    if not listed:
        return dg.MetadataValue.md("*none*")
    names = list(columns) if columns is not None else list(listed[0])
    numeric = {name: _is_numeric(listed, name) for name in names}
    lines = [
        _line(_heading(name) for name in names),
        _line("---:" if numeric[name] else ":---" for name in names),
        *(_line(_shown(row.get(name)) for name in names) for row in listed[:most_rows]),
    ]
    if len(listed) > most_rows:
        lines.append(f"\n… and {len(listed) - most_rows:,} more")
    return dg.MetadataValue.md("\n".join(lines))


def counts(figures: Mapping[str, int], name: str, of: str) -> dg.MarkdownMetadataValue:
    """`{"waiting": 12}` as a table of two columns."""
    return table([{name: key, of: count} for key, count in figures.items()])


def sentence(figures: Mapping[str, int], nothing: str = "nothing") -> str:
    """`{"waiting": 1200}` as `1,200 waiting`, several with commas."""
    told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in figures.items())
    return told or nothing


def _heading(name: str) -> str:
    return name.replace("_pct", " %").replace("_", " ")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _is_numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    values = [row.get(name) for row in rows]
    return all(
        value is None or (isinstance(value, (int, float, Decimal)) and not isinstance(value, bool))
        for value in values
    )


def _shown(value: Any) -> str:
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
