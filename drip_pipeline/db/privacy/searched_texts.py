"""Read the texts that can name a person anywhere in them, and rewrite those that do.

The tables and columns are those that `catalog.py` lists as searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from psycopg import sql

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.error_translation import translated_errors
from drip_pipeline.db.privacy.catalog import TABLES

_CHUNK_ROWS: Final = 2_000


class SearchedRow(NamedTuple):
    """A row of a table: its place, valid until its transaction ends, its workspace, if it has one,
    and the texts of its searched columns."""

    place: str
    workspace_id: UUID | None
    texts: Sequence[str | bytes | None]


def searched_tables() -> list[str]:
    """Return the tables that have searched columns."""
    return [name for name, table in TABLES.items() if table.searched]


def rows(connection: Connection, table: str) -> Iterator[SearchedRow]:
    """Yield the rows of a table whose searched columns have texts; streamed."""
    columns = TABLES[table].searched
    has_workspace = _has_workspace(connection, table)
    statement = sql.SQL("SELECT t.ctid::text, {}, {} FROM {} t WHERE coalesce({}) IS NOT NULL")
    names = [sql.SQL("t.{}").format(sql.Identifier(name)) for name in columns]
    texts = [
        name if column == "payload" else sql.SQL("CAST({} AS text)").format(name)
        for column, name in zip(columns, names, strict=True)
    ]
    with translated_errors(), connection.cursor(name="searched_texts") as cursor:
        cursor.itersize = _CHUNK_ROWS
        cursor.execute(
            statement.format(
                sql.SQL("t.workspace_id") if has_workspace else sql.SQL("NULL::uuid"),
                sql.SQL(", ").join(texts),
                sql.Identifier(table),
                sql.SQL(", ").join(sql.SQL("CAST({} AS text)").format(name) for name in names),
            )
        )
        for place, workspace_id, *texts_of_row in cursor:
            yield SearchedRow(place, workspace_id, texts_of_row)


def replace(
    connection: Connection, table: str, row: SearchedRow, texts: Sequence[str | bytes | None]
) -> None:
    """Store new texts in the searched columns of a row, unless it has changed meanwhile."""
    columns = TABLES[table].searched
    types = _types(connection, table)
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = CAST({} AS {})").format(
            sql.Identifier(name), sql.Placeholder(), sql.SQL(types[name])
        )
        for name in columns
    )
    statement = sql.SQL("UPDATE {} SET {} WHERE ctid = CAST({} AS tid)").format(
        sql.Identifier(table), assignments, sql.Placeholder()
    )
    with translated_errors():
        connection.execute(statement, [*texts, row.place])


def delete(connection: Connection, table: str, row: SearchedRow) -> None:
    """Delete a row, unless it has changed meanwhile."""
    statement = sql.SQL("DELETE FROM {} WHERE ctid = CAST(%s AS tid)")
    with translated_errors():
        connection.execute(statement.format(sql.Identifier(table)), [row.place])


def _has_workspace(connection: Connection, table: str) -> bool:
    return "workspace_id" in _types(connection, table)


def _types(connection: Connection, table: str) -> dict[str, str]:
    """Return the types of a table's columns: text, jsonb, bytea …"""
    rows_of = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a"
        " WHERE a.attrelid = CAST(%s AS regclass) AND a.attnum > 0 AND NOT a.attisdropped",
        [table],
    )
    return dict(rows_of.fetchall())
