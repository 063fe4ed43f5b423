"""Every table and column that could hold personal data is in the catalog, and is handled as it
says."""

from __future__ import annotations

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.privacy.catalog import TABLES, Table

HOLDING = ("text", "jsonb", "json", "bytea", "inet", "text[]", "character varying", "citext")
"""Types of columns that can hold anything."""
IDS = ("contact_id", "object_id")


def columns(database: Database) -> dict[str, dict[str, str]]:
    """The columns of the schema's tables, with their types. Months of the log are those of it."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, NULL)"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
            " AND NOT a.attisdropped"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition"
        ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        tables.setdefault(table, {})[column] = kind
    return tables


def unlisted(tables: dict[str, dict[str, str]]) -> list[str]:
    """What the catalog does not have, and what only the catalog has."""
    missing = [name for name in tables if name not in TABLES]
    missing += [f"{name} (only in the catalog)" for name in TABLES if name not in tables]
    for name, table in TABLES.items():
        if name not in tables:
            continue
        listed = {*table.personal, *table.searched, *table.other, *table.links}
        missing += [
            f"{name}.{column}"
            for column, kind in tables[name].items()
            if (kind in HOLDING or column in IDS) and column not in listed
        ]
        missing += [
            f"{name}.{column} (only in the catalog)"
            for column in listed
            if column not in tables[name]
        ]
    return missing


def test_every_column_that_could_hold_personal_data_is_in_the_catalog(database: Database):
    assert unlisted(columns(database)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE notes (id bigint, contact_id uuid)",
        "ALTER TABLE contact_events ADD COLUMN note text",
        "ALTER TABLE campaign_deliveries ADD COLUMN seen_from inet",
    ],
)
def test_a_new_column_is_noticed(database: Database, statement: str):
    with database.transaction() as connection:
        connection.execute(statement.encode())
    assert len(unlisted(columns(database))) == 1


def test_what_names_persons_is_erased_or_searched():
    for name, table in TABLES.items():
        assert isinstance(table, Table)
        assert (table.fate == "kept") == (not table.personal and not table.searched), name
        assert (table.fate in ("deleted", "stripped")) == bool(table.links), name
        assert not {*table.personal} & {*table.other}, name
