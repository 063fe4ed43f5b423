from __future__ import annotations

import traceback
import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Connection, Database, dump_json, savepoint
from drip_pipeline.errors import (
    Conflict,
    ConstraintViolated,
    DatabaseError,
    DatabaseUnavailable,
    DataRejected,
    PermissionMissing,
    SchemaMismatch,
    StatementCancelled,
)
from drip_pipeline.settings import Secret, Settings


@pytest.fixture
def people(empty_database: Database) -> Database:
    with empty_database.transaction() as connection:
        connection.execute("CREATE TABLE people (email text PRIMARY KEY, age int CHECK (age > 0))")
    return empty_database


def emails(database: Database) -> list[str]:
    with database.transaction() as connection:
        return [row[0] for row in connection.execute("SELECT email FROM people ORDER BY email")]


def add(connection: Connection, email: str, age: object = 30) -> None:
    connection.execute("INSERT INTO people VALUES (%s, %s)", [email, age])


def test_a_transaction_commits_at_its_end(people):
    with people.transaction() as connection:
        add(connection, "a@example.com")
    assert emails(people) == ["a@example.com"]


def test_an_exception_rolls_everything_back(people):
    def half_done() -> None:
        with people.transaction() as connection:
            add(connection, "a@example.com")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_done()
    assert emails(people) == []


def test_a_savepoint_loses_only_its_own_part(people):
    with people.transaction() as connection:
        add(connection, "a@example.com")
        with pytest.raises(ConstraintViolated), savepoint(connection):  # noqa: PT012 - both belong
            add(connection, "b@example.com")
            add(connection, "a@example.com")
        add(connection, "c@example.com")
    assert emails(people) == ["a@example.com", "c@example.com"]


def test_a_read_only_transaction_sees_one_snapshot_and_writes_nothing(people):
    with people.transaction(is_read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM people").fetchone() == (0,)
        with people.transaction() as writer:
            add(writer, "a@example.com")
        assert reader.execute("SELECT count(*) FROM people").fetchone() == (0,)
    with pytest.raises(DatabaseError), people.transaction(is_read_only=True) as reader:
        add(reader, "b@example.com")
    assert emails(people) == ["a@example.com"]


def test_autocommit_runs_statements_that_need_no_transaction(people):
    with people.autocommit() as connection:
        connection.execute("VACUUM people")


def test_sessions_use_utc_and_convert_json(empty_database):
    value = {"at": datetime(2026, 1, 1, tzinfo=UTC), "id": uuid.UUID(int=1), "n": Decimal("2.0")}
    with empty_database.transaction() as connection:
        row = connection.execute(
            "SELECT current_setting('TimeZone'), %s, %s::jsonb", [value, Jsonb([1, {"a": None}])]
        ).fetchone()
    assert row == (
        "UTC",
        {"at": "2026-01-01T00:00:00+00:00", "id": str(uuid.UUID(int=1)), "n": 2},
        [1, {"a": None}],
    )


def test_json_of_sets_is_ordered():
    assert dump_json({"tags": frozenset({"b", "a"})}) == b'{"tags":["a","b"]}'


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("INSERT INTO people VALUES ('x@example.com', -1)", ConstraintViolated),
        ("INSERT INTO people VALUES ('x@example.com', 'x@example.com')", DataRejected),
        ("SELECT 'x@example.com'::int", DataRejected),
        ("SELECT 1 FROM nowhere", SchemaMismatch),
        ("SELECT nothing FROM people", SchemaMismatch),
        ("SELECT unheard_of(1)", SchemaMismatch),
        ("SET statement_timeout = '1ms'; SELECT pg_sleep(1)", StatementCancelled),
        ("SET ROLE pg_monitor; SELECT * FROM people", PermissionMissing),
        ("SELECT 1 / 0", DataRejected),
        ("DO $$ BEGIN RAISE EXCEPTION 'not now'; END $$", DatabaseError),
    ],
)
def test_database_errors_are_translated_and_quote_no_values(people, statement, kind):
    with pytest.raises(kind) as caught, people.transaction() as connection:
        connection.execute(statement)
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    lines = [line for line in shown.splitlines() if not line.startswith(" ")]
    assert "x@example.com" not in "\n".join(lines)
    assert caught.value.sqlstate


def test_a_violated_constraint_is_named(people):
    with pytest.raises(ConstraintViolated) as caught, people.transaction() as connection:
        add(connection, "a@example.com", 0)
    assert (caught.value.table, caught.value.constraint) == ("people", "people_age_check")


def test_an_unavailable_lock_is_a_conflict(people):
    with people.transaction() as holder:
        holder.execute("LOCK TABLE people")
        with pytest.raises(Conflict), people.transaction() as waiter:
            waiter.execute("LOCK TABLE people NOWAIT")


def test_an_unreachable_server_is_reported_at_once():
    database = Database("postgresql://drip:hunter2@127.0.0.1:9/drip")
    with pytest.raises(DatabaseUnavailable) as caught, database.transaction():
        pass
    assert "drip db start" in caught.value.hint
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(database)


def test_a_broken_connection_is_replaced(people):
    with people.transaction() as connection:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
    with people.autocommit() as killer:
        killer.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert emails(people) == []


def test_a_configured_url_precedes_the_embedded_server(empty_database, tmp_path):
    settings = Settings(home=tmp_path / "unused", database_url=Secret(empty_database.url))
    with Database.from_settings(settings) as database, database.transaction() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not (tmp_path / "unused").exists()
