"""`drip doctor` and `drip db migrate` name a right that the role lacks and a limit that is too
short, with the statement to run; the doctor also compares the clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from drip_pipeline.cli.doctor import check_role
from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.errors import MigrationFailed, PermissionMissing, StatementCancelled
from tests.cli.conftest import Drip


def changed(database: Database, *statements: str) -> None:
    with database.autocommit() as connection:
        for statement in statements:
            connection.execute(statement)


def with_options(database: Database, options: str) -> str:
    return f"{database.url}?options={quote(options)}"


@pytest.fixture
def role(server_url: str) -> Iterator[str]:
    """A role without rights; it belongs to the server, so that its name is the test's own."""
    name = f"role_{uuid4().hex[:12]}"
    with Database(server_url) as server:
        changed(server, f"CREATE ROLE {name}")
        yield name
        changed(server, f"DROP ROLE {name}")


@pytest.fixture
def as_role(role: str, database: Database, monkeypatch: pytest.MonkeyPatch, drip: Drip):
    """`drip` on the migrated database, in the role."""
    monkeypatch.setenv("DRIP_DATABASE_URL", with_options(database, f"-c role={role}"))
    yield drip
    changed(database, f"DROP OWNED BY {role}")


def test_nothing_is_found_where_nothing_is_missing(drip: Drip):
    result = drip("doctor")
    assert "has the rights and the time that the engine needs" in result.stdout
    assert result.exit_code == 0


def test_the_doctor_notices_a_read_only_role(as_role, database, role):
    changed(database, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    result = as_role("doctor")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert f"the role {role} is read-only" in text
    assert f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};" in text


def test_the_doctor_names_the_tables_that_a_role_may_not_write_to(as_role, database, role):
    changed(
        database,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        f"REVOKE DELETE ON contacts FROM {role}",
    )
    result = as_role("doctor")
    assert "not applied" not in result.stdout
    assert "hides the rows of drip_schema_migrations" in " ".join(result.stdout.split())
    changed(
        database,
        f"CREATE POLICY a ON drip_schema_migrations FOR SELECT TO {role} USING (true)",
        f"CREATE POLICY a ON drip_schema_functions FOR SELECT TO {role} USING (true)",
    )
    result = as_role("doctor")
    assert result.exit_code == 0, result.stdout[:1500]
    assert f"the role {role} may not write to contacts\n" in result.stdout


def test_the_doctor_notices_missing_temporary_tables(as_role, database, role):
    name = database.url.rpartition("/")[2]
    changed(
        database,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC",
    )
    result = as_role("doctor")
    assert result.exit_code == 1
    assert f"GRANT TEMPORARY ON DATABASE {name} TO {role};" in " ".join(result.stdout.split())


def test_the_doctor_notices_a_database_that_is_read_only(drip, database, monkeypatch):
    url = with_options(database, "-c default_transaction_read_only=on")
    monkeypatch.setenv("DRIP_DATABASE_URL", url)
    result = drip("doctor")
    assert result.exit_code == 1
    assert "default_transaction_read_only is on" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("name", "setting", "milliseconds", "needed"),
    [
        ("statement_timeout", "8s", 8_000, 60_000),
        ("lock_timeout", "500ms", 500, 1_000),
        ("idle_in_transaction_session_timeout", "5s", 5_000, 60_000),
    ],
)
def test_the_doctor_names_a_time_limit_that_is_too_short(
    drip, database, monkeypatch, name, setting, milliseconds, needed
):
    database_name = database.url.rpartition("/")[2]
    changed(database, f"ALTER DATABASE {database_name} SET {name} = '{setting}'")
    result = drip("doctor")
    text = " ".join(result.stdout.split())
    assert result.exit_code == 1
    assert f"{name} is {milliseconds} ms for the role drip" in text
    assert f"ALTER ROLE drip SET {name} = {needed};" in text
    changed(database, f"ALTER DATABASE {database_name} SET {name} = '1h'")
    assert drip("doctor").exit_code == 0
    monkeypatch.setenv("DRIP_DATABASE_URL", with_options(database, f"-c {name}={setting}"))
    assert f"Take {name} out of DRIP_DATABASE_URL" in drip("doctor").stdout


@pytest.mark.parametrize(("minutes", "words"), [(4, "behind"), (-4, "ahead of")])
def test_the_doctor_reports_clocks_that_differ(drip, monkeypatch, minutes, words):
    def now() -> datetime:
        return datetime.now(UTC) + timedelta(minutes=minutes)

    monkeypatch.setattr(check_role, "_now", now)
    result = drip("doctor")
    assert result.exit_code == 1
    text = " ".join(result.stdout.split())
    assert f"the database server's clock is 240 s {words} this machine's" in text


def test_a_statement_that_a_time_limit_ends_has_a_hint(database):
    with (
        Database(with_options(database, "-c statement_timeout=50")) as limited,
        pytest.raises(StatementCancelled) as caught,
        limited.transaction() as connection,
    ):
        connection.execute("SELECT pg_sleep(5)")
    assert "drip doctor" in caught.value.hint


def test_a_transaction_that_a_time_limit_ends_is_named(database):
    url = with_options(database, "-c idle_in_transaction_session_timeout=50")

    def idle() -> None:
        with (
            Database(url) as limited,
            limited.transaction() as connection,
            database.transaction() as other,
        ):
            connection.execute("SELECT")
            other.execute("SELECT pg_sleep(0.3)")
            connection.execute("SELECT")

    with pytest.raises(StatementCancelled, match="idle-in-transaction timeout"):
        idle()


@pytest.mark.parametrize("limit", ["statement_timeout", "transaction_timeout"])
def test_migrations_have_no_time_limit(empty_database, tmp_path: Path, limit):
    with empty_database.transaction() as connection:
        if connection.info.server_version < 170_000:
            limit = "statement_timeout"  # the only one of the two that an older server has
    only(tmp_path, "SELECT pg_sleep(2.5)")
    name = empty_database.url.rpartition("/")[2]
    changed(empty_database, f"ALTER DATABASE {name} SET {limit} = '2s'")
    assert migrate(empty_database, folder=tmp_path).applied == ("0001_do_it",)


def only(folder: Path, text: str) -> None:
    """Make the statement the only migration of the folder."""
    (folder / "migrations").mkdir()
    (folder / "migrations" / "0001_do_it.sql").write_text(text)


def test_a_migration_that_waits_longer_than_lock_timeout_says_so(database, tmp_path: Path):
    changed(database, "DELETE FROM drip_schema_migrations")
    only(tmp_path, "ALTER TABLE contacts ADD COLUMN x text")
    with (
        database.transaction() as other,
        Database(with_options(database, "-c lock_timeout=200")) as limited,
    ):
        other.execute("LOCK TABLE contacts IN ACCESS SHARE MODE")
        with pytest.raises(MigrationFailed, match="lock timeout") as caught:
            migrate(limited, folder=tmp_path, wait_seconds=0.3)
    assert "the oldest transaction: server process" in str(caught.value)
    assert "when it has ended" in caught.value.hint


def test_migrating_is_refused_without_rights_and_changes_nothing(empty_database, role):
    changed(
        empty_database,
        f"GRANT USAGE ON SCHEMA public TO {role}",
        "CREATE TABLE workspaces (id uuid PRIMARY KEY, name text)",
    )
    with Database(with_options(empty_database, f"-c role={role}")) as theirs:
        with pytest.raises(PermissionMissing, match="may not create tables") as caught:
            migrate(theirs)
        assert f"GRANT USAGE, CREATE ON SCHEMA public TO {role};" in caught.value.hint
        changed(empty_database, f"GRANT CREATE ON SCHEMA public TO {role}")
        with pytest.raises(PermissionMissing, match="may not alter workspaces") as caught:
            migrate(theirs)
        assert caught.value.hint.startswith(f"GRANT drip TO {role};")
        changed(empty_database, f"ALTER TABLE workspaces OWNER TO {role}")
        assert migrate(theirs).applied
        assert migrate(theirs).applied == ()
    changed(empty_database, f"DROP OWNED BY {role} CASCADE")
