"""A database in which the engine cannot run is refused before the first migration, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from drip_pipeline.db import requirements
from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.db.requirements import MigrationTarget, check_requirements
from drip_pipeline.db.urls import with_database
from drip_pipeline.errors import DatabaseError, DatabaseUnsuitable
from tests.engine.contacts.import_files import imported, written

SUITABLE = MigrationTarget(
    150_000, "15", "UTF8", "public", "public", True, "me", False, False, True
)
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


@contextmanager
def located(server_url: str, options: str) -> Iterator[Database]:
    """A database with an encoding or a locale of its own."""
    name = f"located_{uuid4().hex}"
    with psycopg.connect(with_database(server_url, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {options} TEMPLATE template0".encode())
    try:
        with Database(with_database(server_url, name)) as database:
            yield database
    finally:
        with psycopg.connect(with_database(server_url, "postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def encoded(server_url: str, request: pytest.FixtureRequest) -> Iterator[tuple[Database, str]]:
    with located(server_url, f"ENCODING '{request.param}' LOCALE 'C'") as database:
        yield database, request.param


def test_other_encodings_are_refused_by_name(encoded):
    database, name = encoded
    assert "ENCODING 'UTF8'" in refused(database, f"encoding is {name}")


def test_an_older_server_is_refused_by_name():
    old = SUITABLE._replace(version_number=140_011, version="14.11")
    with pytest.raises(DatabaseUnsuitable, match=r"PostgreSQL 14\.11, and 15 or newer"):
        requirements._check_server(old)
    requirements._check_server(old._replace(version_number=150_000))


CONTACTS = (
    "CREATE TABLE contacts (id uuid {id}, workspace_id uuid, name text, email text {email},"
    " company text, phone text, job_title text, ai_score integer, status text, tags text[],"
    " custom_fields jsonb, last_interaction timestamptz, created_at timestamptz,"
    " updated_at timestamptz {keys}) {partitions}"
)
WORKSPACES = "CREATE TABLE workspaces (id uuid PRIMARY KEY, name text)"
ENROLLMENTS = (
    "CREATE TABLE campaign_enrollments (id uuid PRIMARY KEY, campaign_id uuid, contact_id uuid,"
    " contact_email text, contact_name text, current_step integer, status text,"
    " started_at timestamptz, last_email_sent_at timestamptz) PARTITION BY HASH (id)"
)
IGNORING_CASE = (
    "CREATE COLLATION ignoring_case (provider = icu, locale = 'und-u-ks-level2',"
    " deterministic = false)"
)


def contacts_table(**parts: str) -> str:
    return CONTACTS.format_map({"id": "", "email": "", "keys": "", "partitions": ""} | parts)


@pytest.mark.parametrize(
    ("statements", "words", "remedy"),
    [
        ([contacts_table()], "contacts has no unique key on id alone", "ADD PRIMARY KEY"),
        (
            [
                contacts_table(
                    keys=", PRIMARY KEY (workspace_id, id)",
                    partitions="PARTITION BY HASH (workspace_id)",
                )
            ],
            "contacts has no unique key on id alone",
            "partitioned by id",
        ),
        (
            [contacts_table(id="PRIMARY KEY DEFERRABLE")],
            "contacts has no unique key on id alone",
            "not deferrable",
        ),
        (
            [
                contacts_table(
                    id="PRIMARY KEY",
                    keys=", CONSTRAINT later UNIQUE (workspace_id, email) DEFERRABLE",
                )
            ],
            "unique key later of public.contacts is deferrable",
            "DROP CONSTRAINT later",
        ),
        (
            [contacts_table(id="PRIMARY KEY", email='COLLATE "C"')],
            r"collation of public\.contacts\.email",
            'COLLATE "default"',
        ),
        (
            [
                "CREATE COLLATION plain (provider = libc, locale = 'POSIX')",
                contacts_table(id="PRIMARY KEY", email="COLLATE plain"),
            ],
            r"collation of public\.contacts\.email",
            'COLLATE "default"',
        ),
        (
            ["CREATE TABLE workspaces (id uuid, name text)"],
            "workspaces has no unique key on id alone",
            "ALTER TABLE public.workspaces ADD PRIMARY KEY",
        ),
        (
            [ENROLLMENTS],
            "campaign_enrollments is partitioned",
            "CREATE SCHEMA",
        ),
    ],
)
def test_tables_of_another_form_are_refused_with_the_remedy(
    empty_database, statements, words, remedy
):
    created(empty_database, *statements)
    assert remedy in refused(empty_database, words)


def test_a_partitioned_table_of_contacts_is_accepted_and_imported_into(empty_database, tmp_path):
    created(
        empty_database,
        WORKSPACES,
        contacts_table(
            id="PRIMARY KEY DEFAULT gen_random_uuid()", partitions="PARTITION BY HASH (id)"
        ),
        "CREATE TABLE contacts_0 PARTITION OF contacts FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE contacts_1 PARTITION OF contacts FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "ALTER TABLE workspaces ALTER COLUMN id SET DEFAULT gen_random_uuid()",
    )
    migrate(empty_database)
    assert migrate(empty_database).applied == ()
    people = "email\n" + "".join(f"p{n}@example.com\n" for n in range(20))
    path = written(tmp_path, people)
    assert imported(empty_database, path).inserted == 20
    assert imported(empty_database, path).unchanged == 20


def test_a_locale_that_knows_only_ascii_is_refused(server_url):
    with located(server_url, "LOCALE 'C'") as database:
        assert "LOCALE 'C.UTF-8'" in refused(database, "locale C changes no letters beyond ASCII")


def test_a_collation_that_ignores_case_is_refused(empty_database):
    try:
        created(empty_database, IGNORING_CASE)
    except DatabaseError:  # a server that was built without ICU has no such collations
        return
    created(empty_database, contacts_table(id="PRIMARY KEY", email="COLLATE ignoring_case"))
    refused(empty_database, r"collation of public\.contacts\.email")


def test_a_database_without_its_language_is_refused(empty_database):
    created(empty_database, "DROP EXTENSION plpgsql")
    assert "CREATE EXTENSION plpgsql" in refused(empty_database, "language plpgsql is missing")


def test_a_read_only_role_is_refused(empty_database):
    url = f"{empty_database.url}?options=-cdefault_transaction_read_only%3Don"
    with Database(url) as database:
        assert "default_transaction_read_only = off" in refused(database, "role .* is read-only")


def test_a_standby_is_refused():
    standby = SUITABLE._replace(is_standby=True, is_read_only=True)
    with pytest.raises(DatabaseUnsuitable, match="is a standby"):
        requirements._check_server(standby)
