"""Find and rewrite texts in Dagster's storage that name a person, whatever wrote them there.

The engine writes no addresses to Dagster; the configuration or a tag of a run can have one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from psycopg import sql

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.dagster.pruning import dagster_queries
from drip_pipeline.db.error_translation import translated_errors

MOST_NEEDLES: Final = 40
"""Texts that are searched for in the database; with more, each row is read."""


class StoredText(NamedTuple):
    """A column of Dagster's tables that holds texts, with its type."""

    table_name: str
    column_name: str
    type: str


def text_columns(connection: Connection) -> list[StoredText]:
    """Return the columns of Dagster's storage that hold texts; none if there is no storage."""
    with translated_errors():
        rows = connection.execute(dagster_queries()["text_columns"].text).fetchall()
    return [StoredText._make(row) for row in rows]


def rewrite(
    connection: Connection,
    column: StoredText,
    needles: Sequence[str],
    rewritten: Callable[[str], str],
) -> int:
    """Store what `rewritten` returns in place of each text that has one of the needles, in lower
    case. Return the number of changed rows."""
    name, table = sql.Identifier(column.column_name), sql.Identifier(column.table_name)
    statement = sql.SQL("SELECT t.ctid::text, t.{}::text FROM {} t WHERE t.{} IS NOT NULL").format(
        name, table, name
    )
    parameters: list[object] = []
    if len(needles) <= MOST_NEEDLES:
        statement += sql.SQL(
            " AND EXISTS (SELECT FROM unnest(%s::text[]) AS n (text)"
            " WHERE position(n.text IN lower(t.{}::text)) > 0)"
        ).format(name)
        parameters.append(list(needles))
    update = sql.SQL("UPDATE {} SET {} = CAST(%s AS {}) WHERE ctid = CAST(%s AS tid)").format(
        table, name, sql.SQL(column.type)
    )
    changed = 0
    with translated_errors(), connection.cursor(name="texts_of_dagster") as cursor:
        cursor.execute(statement, parameters)
        for place, text in cursor:
            if (new := rewritten(text)) != text:
                changed += connection.execute(update, [new, place]).rowcount
    return changed
