"""The columns that are read from sql/schema.sql are those of the tables."""

from __future__ import annotations

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.table_columns import columns_of
from drip_pipeline.errors import NotFound


def test_the_columns_of_every_table_are_those_of_the_database(database: Database):
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped"
            " ORDER BY c.relname, a.attnum"
        ).fetchall()
    tables: dict[str, list[tuple[str, str, bool]]] = {}
    for table, *column in rows:
        tables.setdefault(table, []).append(tuple(column))
    assert len(tables) > 30
    for table, columns in tables.items():
        if table.startswith("drip_schema"):
            continue
        assert [tuple(column) for column in columns_of(table)] == columns, table


def test_an_unknown_table_is_named():
    with pytest.raises(NotFound, match="no table 'nothing'"):
        columns_of("nothing")
