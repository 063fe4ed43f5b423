"""A database in which the engine cannot run is refused before the first migration, by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from drip_pipeline.db import requirements
from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.db.requirements import MigrationTarget, check_requirements
from drip_pipeline.db.urls import with_database
from drip_pipeline.errors import DatabaseUnsuitable

FIXTURES = Path(__file__).parent / "schema" / "fixtures"


def refused(database: Database, words: str) -> str:
    """Check that migrating is refused with these words and changed nothing; return the hint."""
    with pytest.raises(DatabaseUnsuitable, match=words) as caught:
        migrate(database)
    with database.transaction() as connection:
        found = connection.execute("SELECT to_regclass('drip_schema_migrations')").fetchone()
    assert found == (None,)
    return caught.value.hint or ""


def created(database: Database, *statements: str) -> None:
    with database.autocommit() as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE TABLE contacts (id serial PRIMARY KEY, email text)", "has no column workspace_id"),
        (
            (
                "CREATE TABLE contacts (id integer, workspace_id integer, name text, email text,"
                " company text, phone text, job_title text, ai_score integer, status text,"
                " tags text,"
                " custom_fields jsonb, last_interaction timestamptz, created_at timestamptz,"
                " updated_at timestamptz)"
            ),
            "public.contacts .* id is integer, not uuid; workspace_id is integer, not uuid",
        ),
        ("CREATE VIEW contacts AS SELECT 1 AS id", "contacts is no table"),
        ("CREATE TABLE workspaces (id integer, name text)", "workspaces .* id is integer"),
        ("CREATE TABLE campaign_steps (step integer)", "campaign_steps .* no column id"),
        ("CREATE TABLE drip_campaigns (id uuid)", "drip_campaigns .* no column workspace_id, name"),
    ],
)
def test_a_foreign_table_of_the_same_name_is_recognized(empty_database, statement, words):
    created(empty_database, statement)
    assert "CREATE SCHEMA drip_engine" in refused(empty_database, words)


def test_the_foreign_table_stays_beside_a_schema_of_its_own(empty_database):
    created(
        empty_database,
        "CREATE TABLE contacts (id serial, email text)",
        "INSERT INTO contacts (email) VALUES ('theirs')",
        "CREATE SCHEMA drip_engine",
    )
    with Database(f"{empty_database.url}?options=-csearch_path%3Ddrip_engine") as own:
        migrate(own)
    with empty_database.transaction() as connection:
        assert connection.execute("SELECT email FROM contacts").fetchall() == [("theirs",)]


def test_the_specifications_own_tables_are_accepted(empty_database):
    created(empty_database, (FIXTURES / "base_tables.sql").read_text())
    with empty_database.transaction() as connection:
        check_requirements(connection)


def test_tables_in_two_schemas_are_refused(empty_database):
    created(
        empty_database,
        (FIXTURES / "base_tables.sql").read_text(),
        "CREATE SCHEMA first",
    )
    with Database(f"{empty_database.url}?options=-csearch_path%3Dfirst,public") as both:
        assert "Begin search_path with public" in refused(both, "is in the schema public")


def test_a_search_path_without_a_schema_is_refused(empty_database):
    with Database(f"{empty_database.url}?options=-csearch_path%3Dnowhere") as database:
        refused(database, "search_path is nowhere")


def test_a_schema_that_needs_quotation_marks_is_refused(empty_database):
    created(empty_database, 'CREATE SCHEMA "Own"')
    with Database(f'{empty_database.url}?options=-csearch_path%3D"Own"') as database:
        refused(database, "'Own' needs quotation marks")


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def encoded(server_url: str, request: pytest.FixtureRequest) -> Iterator[tuple[Database, str]]:
    name = f"encoded_{request.param.lower()}"
    with psycopg.connect(with_database(server_url, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{request.param}' LOCALE 'C' TEMPLATE template0"
        )
    with Database(with_database(server_url, name)) as database:
        yield database, request.param
    with psycopg.connect(with_database(server_url, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_other_encodings_are_refused_by_name(encoded):
    database, name = encoded
    assert "ENCODING 'UTF8'" in refused(database, f"encoding is {name}")


def test_an_older_server_is_refused_by_name():
    old = MigrationTarget(140_011, "14.11", "UTF8", "public", "public", True)
    with pytest.raises(DatabaseUnsuitable, match=r"PostgreSQL 14\.11, and 15 or newer"):
        requirements._check_server(old)
    requirements._check_server(old._replace(version_number=150_000))
