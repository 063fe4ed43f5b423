from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import LOCK_KEY, migrate, status
from drip_pipeline.db.migration_files import migration_files
from drip_pipeline.errors import (
    MigrationEdited,
    MigrationError,
    MigrationFailed,
    MigrationUnknown,
    SchemaBeforeBaseline,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "functions").mkdir()
    write(tmp_path, "migrations/0001_create_items", "CREATE TABLE items (id int PRIMARY KEY);")
    write(tmp_path, "migrations/0002_add_name", "ALTER TABLE items ADD name text DEFAULT '50%';")
    write(tmp_path, "functions/answer", function("42"))
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.sql").write_text(text, encoding="utf-8")


def function(value: str) -> str:
    return f"CREATE OR REPLACE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT {value}';"


def value(database: Database, statement: str) -> object:
    with database.transaction() as connection:
        row = connection.execute(statement).fetchone()
        return row[0] if row else None


def test_migrations_and_functions_are_applied_in_order_and_once(empty_database, folder):
    report = migrate(empty_database, folder=folder)
    assert report.applied == ("0001_create_items", "0002_add_name")
    assert report.functions == ("answer",)
    assert report.version == 2
    assert value(empty_database, "SELECT answer()") == 42
    again = migrate(empty_database, folder=folder)
    assert (again.applied, again.functions, again.version) == ((), (), 2)


def test_status_returns_pending_files_without_changes(empty_database, folder):
    before = status(empty_database, folder=folder)
    assert before.pending == ("0001_create_items", "0002_add_name")
    assert before.functions == ("answer",)
    assert not before.is_current
    assert value(empty_database, "SELECT to_regclass('drip_schema_migrations')") is None
    migrate(empty_database, folder=folder)
    after = status(empty_database, folder=folder)
    assert after.is_current
    assert [row.name for row in after.applied] == list(before.pending)
    assert after.version == 2


def test_a_changed_function_is_applied_again(empty_database, folder):
    migrate(empty_database, folder=folder)
    write(folder, "functions/answer", function("43"))
    assert status(empty_database, folder=folder).functions == ("answer",)
    report = migrate(empty_database, folder=folder)
    assert (report.applied, report.functions) == ((), ("answer",))
    assert value(empty_database, "SELECT answer()") == 43


def test_an_edited_migration_is_refused_by_name(empty_database, folder):
    migrate(empty_database, folder=folder)
    write(folder, "migrations/0001_create_items", "CREATE TABLE items (id bigint);")
    assert status(empty_database, folder=folder).edited == ("0001_create_items",)
    with pytest.raises(MigrationEdited, match="0001_create_items") as caught:
        migrate(empty_database, folder=folder)
    assert caught.value.version == 1


def test_other_line_ends_are_not_an_edit(empty_database, folder):
    write(folder, "migrations/0003_add_more", "SELECT 1;\nSELECT 2;\n")
    migrate(empty_database, folder=folder)
    (folder / "migrations/0003_add_more.sql").write_bytes(b"SELECT 1;\r\nSELECT 2;\r\n")
    assert status(empty_database, folder=folder).is_current


def test_a_failing_migration_is_rolled_back_and_earlier_ones_stay(empty_database, folder):
    text = "CREATE TABLE half (x int);\n\nSELECT nothing FROM items;"
    write(folder, "migrations/0003_break", text)
    with pytest.raises(MigrationFailed, match=r"0003_break, line 3: .*nothing") as caught:
        migrate(empty_database, folder=folder)
    assert caught.value.version == 3
    assert value(empty_database, "SELECT to_regclass('half')") is None
    assert status(empty_database, folder=folder).version == 2
    write(folder, "migrations/0003_break", "CREATE TABLE half (x int);")
    assert migrate(empty_database, folder=folder).applied == ("0003_break",)


def test_a_failing_migration_does_not_quote_rows(empty_database, folder):
    write(folder, "migrations/0003_break", "SELECT 'ann@example.com'::int;")
    with pytest.raises(MigrationFailed) as caught:
        migrate(empty_database, folder=folder)
    assert "ann" not in str(caught.value)


def test_a_database_newer_than_the_code_is_refused(empty_database, folder):
    migrate(empty_database, folder=folder)
    (folder / "migrations/0002_add_name.sql").unlink()
    with pytest.raises(MigrationUnknown, match="0002_add_name"):
        migrate(empty_database, folder=folder)


def test_a_database_older_than_the_baseline_is_refused_with_what_to_do(empty_database, folder):
    migrate(empty_database, folder=folder)
    with empty_database.transaction() as connection:
        connection.execute(
            "INSERT INTO drip_schema_migrations (version, name, checksum, duration_ms)"
            " VALUES (6, '0006_create_outbox_and_ledger', 'old', 1)"
        )
    with pytest.raises(SchemaBeforeBaseline, match="0006_create_outbox_and_ledger") as caught:
        migrate(empty_database, folder=folder)
    assert "DRIP_DATABASE_URL" in str(caught.value.hint)


def test_a_number_below_the_applied_version_is_refused(empty_database, folder):
    (folder / "migrations/0001_create_items.sql").unlink()
    (folder / "migrations/0002_add_name.sql").rename(folder / "migrations/0005_add_name.sql")
    write(folder, "migrations/0005_add_name", "SELECT 1")
    migrate(empty_database, folder=folder)
    write(folder, "migrations/0003_late", "SELECT 1")
    with pytest.raises(MigrationError, match="number 5 is already applied"):
        migrate(empty_database, folder=folder)


def test_several_processes_may_migrate_at_once(empty_database, folder):
    databases = [Database(empty_database.url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda database: migrate(database, folder=folder), databases))
    assert sorted(len(report.applied) for report in reports) == [0, 0, 0, 2]


def test_a_lock_that_another_process_keeps_is_named_and_nothing_is_left_behind(
    empty_database, folder
):
    with empty_database.autocommit() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        with pytest.raises(MigrationError, match=rf"server process {other.info.backend_pid}"):
            migrate(empty_database, folder=folder, wait_seconds=0)
    migrate(empty_database, folder=folder, wait_seconds=0)
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
    held += " (SELECT oid FROM pg_database WHERE datname = current_database())"
    assert value(empty_database, held) == 0


def test_a_removed_function_file_is_forgotten(empty_database, folder):
    migrate(empty_database, folder=folder)
    (folder / "functions/answer.sql").unlink()
    migrate(empty_database, folder=folder)
    assert value(empty_database, "SELECT count(*) FROM drip_schema_functions") == 0


@pytest.mark.parametrize("name", ["1_create", "0003_Create", "create_items", "0003"])
def test_a_malformed_file_name_is_refused(folder, name):
    write(folder, f"migrations/{name}", "SELECT 1")
    with pytest.raises(MigrationError, match="NNNN_action_object"):
        migration_files(folder)


def test_a_number_used_twice_is_refused(folder):
    write(folder, "migrations/0002_second", "SELECT 1")
    with pytest.raises(MigrationError, match="same number"):
        migration_files(folder)


def test_progress_is_logged(empty_database, folder, caplog):
    caplog.set_level(logging.INFO)
    migrate(empty_database, folder=folder)
    assert "migration 0002_add_name (2 of 2)" in caplog.text


def test_the_projects_own_migrations_are_current_after_one_run(database):
    assert status(database).is_current
    assert migrate(database).applied == ()
