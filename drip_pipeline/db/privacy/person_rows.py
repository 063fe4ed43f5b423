"""Read the rows of one person from all tables, as `catalog.py` says how to find them.

Rows are JSON objects, so that a column that an application has added is read, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import sql

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.error_translation import translated_errors
from drip_pipeline.db.privacy.catalog import TABLES, Link, Table

JsonRow = dict[str, Any]
_CONDITIONS: Final[Mapping[Link, str]] = {
    "contact": "t.{column} = ANY(CAST({ids} AS uuid[]))",
    "object": "t.{column} = ANY(CAST({ids} AS uuid[]))",
    "erasure": "t.{column} = ANY(CAST({ids} AS uuid[]))",
    "enrollment": "t.{column} = ANY(CAST({ids} AS uuid[]))",
    "message": "t.{column} = ANY(CAST({ids} AS uuid[]))",
    "address": "canonical_address(t.{column}) = ANY(CAST({ids} AS text[]))",
}


@dataclass(frozen=True, slots=True)
class PersonKeys:
    """By what the rows of a person are read from the tables of a workspace."""

    workspace_id: UUID
    contacts: Sequence[UUID]
    enrollments: Sequence[UUID]
    addresses: Sequence[str]

    def of(self, link: Link) -> list[Any]:
        """Return the values of a kind of link."""
        if link == "address":
            return list(self.addresses)
        return list(self.enrollments if link == "enrollment" else self.contacts)


def linked_tables() -> list[str]:
    """Return the tables in which the rows of a person have a link to it."""
    return [name for name, table in TABLES.items() if table.is_exported and table.links]


def linked_rows(connection: Connection, table: str, keys: PersonKeys) -> list[JsonRow]:
    """Return the rows of a person in a table."""
    described: Table = TABLES[table]
    conditions, parameters = [], list[object]()
    for column, link in described.links.items():
        values = keys.of(link)
        if values:
            condition = sql.SQL(_CONDITIONS[link]).format(
                column=sql.Identifier(column), ids=sql.Placeholder()
            )
            conditions.append(condition)
            parameters.append(values)
    if not conditions:
        return []
    statement = sql.SQL(
        "SELECT to_jsonb(t) FROM {} t"
        " WHERE (t.workspace_id = CAST(%s AS uuid) OR t.workspace_id IS NULL) AND ({})"
        " ORDER BY CAST(to_jsonb(t) AS text)"
    ).format(sql.Identifier(table), sql.SQL(" OR ").join(conditions))
    with translated_errors():
        rows = connection.execute(statement, [keys.workspace_id, *parameters]).fetchall()
    return [row for (row,) in rows]


def row_at(connection: Connection, table: str, place: str) -> JsonRow:
    """Return a row by its place, within the transaction in which the place was read."""
    statement = sql.SQL("SELECT to_jsonb(t) FROM {} t WHERE t.ctid = CAST(%s AS tid)")
    with translated_errors():
        row = connection.execute(statement.format(sql.Identifier(table)), [place]).fetchone()
    if row is None:
        raise AssertionError("a row stays at its place within a snapshot")
    stored: JsonRow = row[0]
    return stored
