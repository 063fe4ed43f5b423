"""Bulk loading with COPY. psycopg quotes the identifiers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.error_translation import translated_errors


def copy_rows(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    types: Sequence[str] | None = None,
) -> int:
    """Load rows into a table and return their number.

    `table` may include its schema (`public.contacts`). A row has one value per column: None, text,
    numbers, bools, aware datetimes, UUIDs, lists (arrays), dicts (jsonb; a JSON list needs
    psycopg's `Jsonb`). With `types`, the PostgreSQL type of each column, the binary format is used:
    faster for numbers, times and UUIDs, without conversion between types.
    """
    target = sql.SQL("COPY {table} ({columns}) FROM STDIN {options}").format(
        table=sql.Identifier(*table.split(".")),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        options=sql.SQL("(FORMAT BINARY)") if types is not None else sql.SQL(""),
    )
    count = 0
    with translated_errors(), connection.cursor() as cursor, cursor.copy(target) as copy:
        if types is not None:
            copy.set_types(types)
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def copy_between(
    source: Connection, target: Connection, table: str, *, where: sql.Composable
) -> None:
    """Copy the rows that `where` selects from one connection to a table of the same name and
    columns of another one."""
    name = sql.Identifier(*table.split("."))
    read = sql.SQL("COPY (SELECT * FROM {} WHERE {}) TO STDOUT (FORMAT BINARY)").format(name, where)
    write = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(name)
    with (
        translated_errors(),
        source.cursor() as reader,
        target.cursor() as writer,
        reader.copy(read) as rows,
        writer.copy(write) as copy,
    ):
        for row in rows:
            copy.write(row)
