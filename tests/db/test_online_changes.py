"""`drip db migrate` in a database in which an application writes: nobody waits for long, and what
was interrupted is continued.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import psycopg
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import MigrationReport, migrate
from drip_pipeline.db.migration_files import REWRITTEN, migration_files, statements
from drip_pipeline.db.online_changes import LONGEST_LOCK_WAIT_MS
from drip_pipeline.db.queries import SQL_FOLDER
from drip_pipeline.errors import MigrationFailed
from tests.db.schema import existing_databases as found
from tests.db.schema.schema_text import read_schema

CONTACTS = 50_000
# The limit, the work of a short transaction, and what two busy cores add.
LONGEST_STALL_SECONDS = 0.6
MANY = f"""
INSERT INTO contacts (workspace_id, name, email, phone)
SELECT w.id, 'P', 'many' || n || '@example.com', '+4915' || n
FROM generate_series(1, {CONTACTS}) n
CROSS JOIN (SELECT id FROM workspaces ORDER BY id LIMIT 1) w;
INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email)
SELECT (SELECT c.id FROM drip_campaigns c ORDER BY c.id LIMIT 1), k.id, k.email
FROM contacts k WHERE k.email LIKE 'many%9@example.com'
"""


class Application:
    """Updates a contact and inserts an enrollment, again and again, until it is stopped."""

    def __init__(self, url: str) -> None:
        self.longest = 0.0
        self.statements = 0
        self.error: BaseException | None = None
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Application:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while not self._stop.is_set():
                    for statement in (
                        "UPDATE contacts SET company = 'x' WHERE email = 'many1@example.com'",
                        (
                            "INSERT INTO contacts (workspace_id, email)"
                            " SELECT id, gen_random_uuid()::text FROM workspaces LIMIT 1"
                        ),
                        (
                            "UPDATE campaign_enrollments SET last_email_sent_at = now()"
                            " WHERE id = (SELECT id FROM campaign_enrollments LIMIT 1)"
                        ),
                    ):
                        began = time.monotonic()
                        connection.execute(statement.encode())
                        self.longest = max(self.longest, time.monotonic() - began)
                        self.statements += 1
        except psycopg.Error as error:
            self.error = error


@contextmanager
def long_transaction(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A transaction of the application that has written to the base tables and stays open."""
    with psycopg.connect(url, application_name="nightly report") as connection:
        connection.execute("UPDATE contacts SET name = 'Q' WHERE email = 'many2@example.com'")
        connection.execute("SELECT FROM drip_campaigns JOIN campaign_enrollments ON true LIMIT 1")
        yield connection
        connection.rollback()


def migrated_after_a_long_transaction(database: Database) -> tuple[Application, MigrationReport]:
    """Migrate while an application writes and one of its transactions is open for 1.5 s; it must
    wait for the end of the transaction."""
    reports: list[MigrationReport] = []
    with Application(database.url) as application:
        with long_transaction(database.url):
            migrating = threading.Thread(
                target=lambda: reports.append(migrate(Database(database.url)))
            )
            migrating.start()
            migrating.join(1.5)
            assert migrating.is_alive()
        migrating.join(60)
    assert application.error is None
    assert application.statements > 100
    assert application.longest < LONGEST_STALL_SECONDS
    return application, reports[0]


def test_a_first_migration_waits_for_a_long_transaction_and_no_writer_waits(empty_database):
    with empty_database.transaction() as connection:
        found.legacy_database(connection)
        for statement in MANY.split(";"):
            connection.execute(statement.encode())
    _, report = migrated_after_a_long_transaction(empty_database)
    assert "0001_create_base_tables" in report.applied
    assert migrate(empty_database).applied == ()
    with empty_database.transaction() as connection:
        left = connection.execute(
            "SELECT count(*) FROM campaign_enrollments WHERE workspace_id IS NULL"
        ).fetchone()
        invalid = connection.execute(
            "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
        ).fetchone()
    assert (left, invalid) == ((0,), (0,))


def test_a_trigger_on_contacts_waits_for_a_long_transaction_and_no_writer_waits(database, caplog):
    """Without the limit, each statement on contacts would wait behind the trigger."""
    caplog.set_level("INFO")
    with database.transaction() as connection:
        connection.execute("INSERT INTO workspaces (name) VALUES ('W')")
        connection.execute(
            "INSERT INTO contacts (workspace_id, email)"
            " SELECT id, 'many' || n || '@example.com' FROM workspaces, generate_series(1, 9) n"
        )
        connection.execute(
            "UPDATE drip_schema_functions SET checksum = 'old'"
            " WHERE name IN ('entry_triggers', 'contacts.queue_new_matches')"
        )
    _, report = migrated_after_a_long_transaction(database)
    assert "entry_triggers" in report.functions
    assert "the trigger queue_new_matches on contacts waits for a lock" in caplog.text
    assert "(nightly report), open since 20" in caplog.text


def test_the_schema_is_the_same_with_rows_and_without(empty_database, database):
    with empty_database.transaction() as connection:
        found.legacy_database(connection)
    migrate(empty_database)
    with empty_database.transaction() as with_rows, database.transaction() as without:
        own, empty = read_schema(with_rows), read_schema(without)
    for table in ("contacts", "campaign_suppressions", "campaign_enrollments"):
        for name, text in empty.tables[table].indexes.items():
            assert own.tables[table].indexes[name] == text
    assert own.functions.items() >= empty.functions.items()


@pytest.mark.parametrize("name", ["contacts_canonical_address", "contacts_address"])
def test_an_index_that_an_interrupted_build_left_is_built_again(empty_database, tmp_path, name):
    copytree(SQL_FOLDER, tmp_path / "sql")
    later = sorted((tmp_path / "sql/migrations").glob("*.sql"))[8:]
    kept = {path: path.read_text(encoding="utf-8") for path in later}
    functions = sorted((tmp_path / "sql/functions").glob("*.sql"))
    texts = {path: path.read_text(encoding="utf-8") for path in functions}
    for path in (*later, *functions):
        path.unlink()
    migrate(empty_database, folder=tmp_path / "sql")
    with empty_database.transaction() as connection:
        if name != "contacts_address":
            connection.execute(f"CREATE INDEX {name} ON contacts (email)".encode())
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [name]
        )
    for path, text in {**kept, **texts}.items():
        path.write_text(text, encoding="utf-8")
    migrate(empty_database, folder=tmp_path / "sql")
    with empty_database.transaction() as connection:
        definition = connection.execute(
            "SELECT pg_get_indexdef('contacts_address'::regclass)"
        ).fetchone()
    assert definition is not None
    assert "canonical_email(email)" in definition[0]


def test_statements_before_a_failure_stay_and_are_repeated_without_effect(empty_database, tmp_path):
    (tmp_path / "migrations").mkdir()
    (tmp_path / "functions").mkdir()
    path = tmp_path / "migrations" / "0001_do_it.sql"
    head = (
        "-- migrate: statement by statement\nCREATE TABLE IF NOT EXISTS items (id int);\n"
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS items_id\n    ON items (id);\n"
    )
    path.write_text(head + "\n-- Wrong.\nSELECT 1 / 0;\n")
    with pytest.raises(MigrationFailed, match=r"0001_do_it, line 7: .*") as caught:
        migrate(empty_database, folder=tmp_path)
    assert "The statements before it were applied" in caught.value.hint
    path.write_text(head + "SELECT 1;")
    assert migrate(empty_database, folder=tmp_path).applied == ("0001_do_it",)


def test_indexes_are_built_on_the_partitions_of_a_table(empty_database, tmp_path):
    (tmp_path / "migrations").mkdir()
    (tmp_path / "functions").mkdir()
    (tmp_path / "migrations" / "0001_do_it.sql").write_text(
        "-- migrate: statement by statement\n"
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS items_id ON items (id);\n"
        "DROP INDEX CONCURRENTLY IF EXISTS items_old;\n"
        "ALTER INDEX IF EXISTS items_id RENAME TO items_old;\n"
    )
    with empty_database.transaction() as connection:
        connection.execute(
            "CREATE TABLE items (id int) PARTITION BY HASH (id);"
            "CREATE TABLE items_0 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
            "CREATE TABLE items_1 PARTITION OF items FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
            "CREATE INDEX items_old ON items (id)"
        )
    migrate(empty_database, folder=tmp_path)
    with empty_database.transaction() as connection:
        valid = connection.execute(
            "SELECT count(*), bool_and(indisvalid) FROM pg_index x"
            " JOIN pg_class c ON c.oid = x.indrelid WHERE c.relname LIKE 'items%'"
        ).fetchone()
        attached = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'items_old'::regclass"
        ).fetchone()
    assert (valid, attached) == ((3, True), (2,))


def test_a_trigger_is_replaced_only_if_its_statement_changed(database):
    trigger = "SELECT xmin::text FROM pg_trigger WHERE tgname = 'queue_new_matches'"
    with database.transaction() as connection:
        before = connection.execute(trigger).fetchone()
        connection.execute(
            "UPDATE drip_schema_functions SET checksum = 'old' WHERE name = 'entry_triggers'"
        )
    assert "entry_triggers" in migrate(database).functions
    with database.transaction() as connection:
        assert connection.execute(trigger).fetchone() == before
        connection.execute(
            "UPDATE drip_schema_functions SET checksum = 'old'"
            " WHERE name IN ('entry_triggers', 'contacts.queue_new_matches')"
        )
    migrate(database)
    with database.transaction() as connection:
        assert connection.execute(trigger).fetchone() != before
        connection.execute("DROP TRIGGER queue_new_matches ON contacts")
        connection.execute(
            "UPDATE drip_schema_functions SET checksum = 'old' WHERE name = 'entry_triggers'"
        )
    migrate(database)
    with database.transaction() as connection:
        assert connection.execute(trigger).fetchone() is not None


@pytest.mark.parametrize("name", REWRITTEN)
def test_the_earlier_form_of_a_rewritten_migration_is_no_edit(database, name):
    with database.transaction() as connection:
        connection.execute(
            "UPDATE drip_schema_migrations SET checksum = %s WHERE name = %s",
            [REWRITTEN[name], name],
        )
    assert migrate(database).applied == ()


def test_statements_are_split_outside_of_strings_bodies_and_comments():
    text = (
        "-- One; two.\nSELECT 'a;''b', \";\" /* ; */;\n\n-- Body.\n"
        "DO $$ BEGIN; END $$;\nSELECT $x$ ; $$ ; $x$\n"
    )
    parts = statements(text)
    assert [part.code for part in parts] == [
        "SELECT 'a;''b', \";\" /* ; */",
        "DO $$ BEGIN; END $$",
        "SELECT $x$ ; $$ ; $x$",
    ]
    assert [part.line for part in parts] == [2, 5, 6]
    assert parts[0].text.startswith("-- One; two.")


def test_new_indexes_of_earlier_tables_are_built_concurrently():
    """Migrations up to 0023 that build one are run statement by statement, or have an `online`
    file. A transaction that builds an index locks its table meanwhile."""
    created: set[str] = set()
    wrong = []
    for file in migration_files():
        own = set()
        for part in statements(file.text):
            words = part.code.replace("IF NOT EXISTS ", "").split()
            if words[:2] == ["CREATE", "TABLE"]:
                own.add(words[2])
            if "INDEX" in words[1:3] and words[0] == "CREATE" and "CONCURRENTLY" not in words[:4]:
                table = words[words.index("ON") + 1]
                if table in created and file.version > 23:
                    wrong.append(f"{file.name}, line {part.line}: {table}")
        created |= own
    assert wrong == []
    assert LONGEST_LOCK_WAIT_MS == 100
    assert Path(SQL_FOLDER / "online" / "0002_extend_base_tables.sql").exists()
