"""Apply the migrations sql/migrations/NNNN_action_object.sql, then sql/functions/*.sql.

Migrations run forward only, under an advisory lock that another transaction holds. Each is one
transaction, or is applied statement by statement (online_changes.py): neither makes an
application's writers wait for more than 200 ms. All functions are applied if one of their files
changed, triggers only if they changed themselves. The files are plain SQL.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psycopg

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.database_role import check_rights_to_migrate, check_rows_are_visible
from drip_pipeline.db.error_translation import safe_text
from drip_pipeline.db.migration_files import (
    REWRITTEN,
    SqlFile,
    Statement,
    function_files,
    migration_files,
    schema_objects,
    statements,
    table_names,
)
from drip_pipeline.db.online_changes import (
    LOCK_ERRORS,
    LONGEST_WAIT_SECONDS,
    WITHOUT_TIME_LIMIT,
    in_transaction,
    run_steps,
)
from drip_pipeline.db.online_changes import LOCK_KEY as LOCK_KEY
from drip_pipeline.db.queries import SQL_FOLDER
from drip_pipeline.db.requirements import check_requirements
from drip_pipeline.errors import (
    MigrationEdited,
    MigrationError,
    MigrationFailed,
    MigrationUnknown,
    SchemaBeforeBaseline,
)

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_TRIES = 0.2
# Migrations whose files were merged into the baseline 0001 to 0008; only older databases have them.
BEFORE_BASELINE = frozenset({"0005_create_versions_and_tests", "0006_create_outbox_and_ledger"})

_TRIGGER = re.compile(
    r"CREATE OR REPLACE TRIGGER (?P<name>[a-z_]+)\s.*?\sON (?P<table>[a-z_]+)\s", re.DOTALL
)

_BOOKKEEPING = """
CREATE TABLE IF NOT EXISTS drip_schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    duration_ms integer NOT NULL
);
CREATE TABLE IF NOT EXISTS drip_schema_functions (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE drip_schema_migrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE drip_schema_functions ENABLE ROW LEVEL SECURITY;
"""


class OpenTable(NamedTuple):
    """A table of an application that a platform's public roles can reach without row-level
    security."""

    name: str


class LockHolder(NamedTuple):
    """The server process that holds the lock of all migrations, and its application."""

    process_id: int
    application_name: str


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """Result of one run: the migrations and function files applied, the version reached, and the
    application's tables that a platform's public roles can reach without row-level security."""

    applied: tuple[str, ...]
    functions: tuple[str, ...]
    version: int
    duration_ms: int
    open_tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """One row of drip_schema_migrations."""

    version: int
    name: str
    checksum: str
    applied_at: datetime
    duration_ms: int


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Differences between the database and the files; if all but `applied` are empty, the schema is
    current."""

    applied: tuple[AppliedMigration, ...]
    pending: tuple[str, ...]
    edited: tuple[str, ...]
    unknown: tuple[str, ...]
    functions: tuple[str, ...]

    @property
    def version(self) -> int:
        """Return the highest applied version, 0 if none is applied."""
        return max((row.version for row in self.applied), default=0)

    @property
    def is_current(self) -> bool:
        """Return whether `migrate` has nothing to apply and no error to raise."""
        return not (self.pending or self.edited or self.unknown or self.functions)


def migrate(
    database: Database, *, folder: Path = SQL_FOLDER, wait_seconds: float = LONGEST_WAIT_SECONDS
) -> MigrationReport:
    """Apply pending migrations; can be repeated and run by several processes at once.

    Raises DatabaseUnsuitable, PermissionMissing, SchemaBeforeBaseline, MigrationEdited,
    MigrationUnknown or MigrationFailed; migrations applied before the failing file stay. Raises
    MigrationError if another process is migrating for longer than `wait_seconds`.
    """
    started = time.perf_counter()
    migrations = migration_files(folder)
    functions = function_files(folder)
    with database.transaction() as connection:
        check_requirements(connection)
        before = _compared(connection, migrations, functions)
        if before.pending or before.functions:
            check_rights_to_migrate(connection, table_names(folder))
    if before.pending:
        database.check_autocommit()
    with _locked(database, wait_seconds):
        with database.transaction() as connection:
            is_new = not _has_bookkeeping(connection)
        if is_new:
            in_transaction(
                database,
                lambda connection: connection.execute(_BOOKKEEPING),
                what="the table of migrations",
                wait_seconds=wait_seconds,
            )
        with database.transaction() as connection:
            state = _compared(connection, migrations, functions)
            _refuse(state)
        pending = [file for file in migrations if file.name in state.pending]
        for position, file in enumerate(pending, start=1):
            log.info("migration %s (%d of %d)", file.name, position, len(pending))
            _apply_migration(database, file, wait_seconds)
        # New tables may be what a function was written for, so a migration brings all functions
        # along.
        changed = functions if pending or state.functions else []
        _apply_functions(database, changed, wait_seconds)
        open_tables = in_transaction(
            database,
            lambda connection: _finish(connection, functions, folder),
            what="the privileges",
            wait_seconds=wait_seconds,
        )
    return MigrationReport(
        applied=tuple(file.name for file in pending),
        functions=tuple(file.name for file in changed),
        version=max((file.version for file in migrations), default=0),
        duration_ms=_elapsed_ms(started),
        open_tables=open_tables,
    )


def status(database: Database, *, folder: Path = SQL_FOLDER) -> MigrationStatus:
    """Compare the database with the files, changing nothing."""
    with database.transaction() as connection:
        return _compared(connection, migration_files(folder), function_files(folder))


@contextmanager
def _locked(database: Database, wait_seconds: float) -> Iterator[None]:
    """Hold the lock of all migrations in a transaction of its own, which does nothing else.

    A lock of the session would stay with the server's session behind a pooler. A transaction that
    waits for the lock would be waited for by CREATE INDEX CONCURRENTLY, so this one tries again.
    """
    until = time.monotonic() + wait_seconds
    is_logged = False
    while True:
        with database.transaction() as guard:
            if queries.scalar(guard, "try_migration_lock", lock_key=LOCK_KEY):
                # The last statement must not be a prepared one: that keeps its snapshot, for whose
                # end CREATE INDEX CONCURRENTLY would wait.
                guard.execute(WITHOUT_TIME_LIMIT, prepare=False)
                yield
                return
            holder = queries.record(guard, "migration_lock_holder", LockHolder, lock_key=LOCK_KEY)
        if holder is not None and not is_logged:
            log.info("process %d (%s) is migrating; waiting for it", *holder)
            is_logged = True
        if holder is not None and time.monotonic() > until:
            raise MigrationError(
                f"another process has been migrating for {wait_seconds:,.0f} s: server process"
                f" {holder.process_id} ({holder.application_name or 'without a name'})",
                hint="Run `drip db migrate` again when it has ended. If it is none that you know,"
                f" end it: SELECT pg_terminate_backend({holder.process_id});",
            )
        time.sleep(_SECONDS_BETWEEN_TRIES)


def _has_bookkeeping(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT to_regclass('drip_schema_migrations') IS NOT NULL"
        " AND to_regclass('drip_schema_functions') IS NOT NULL"
    ).fetchone()
    return bool(row and row[0])


def _compared(
    connection: Connection, migrations: list[SqlFile], functions: list[SqlFile]
) -> MigrationStatus:
    applied: tuple[AppliedMigration, ...] = ()
    applied_functions: dict[str, str] = {}
    if _has_bookkeeping(connection):
        rows = connection.execute(
            "SELECT version, name, checksum, applied_at, duration_ms"
            " FROM drip_schema_migrations ORDER BY version"
        )
        applied = tuple(AppliedMigration(*row) for row in rows)
        if not applied:
            check_rows_are_visible(connection, "drip_schema_migrations")
        function_rows = connection.execute("SELECT name, checksum FROM drip_schema_functions")
        applied_functions = {str(name): str(checksum) for name, checksum in function_rows}
    by_version = {row.version: row for row in applied}
    versions = {file.version for file in migrations}
    return MigrationStatus(
        applied=applied,
        pending=tuple(file.name for file in migrations if file.version not in by_version),
        edited=tuple(
            file.name
            for file in migrations
            if file.version in by_version
            and by_version[file.version].checksum
            not in {file.checksum, REWRITTEN.get(file.name, file.checksum)}
        ),
        unknown=tuple(row.name for row in applied if row.version not in versions),
        functions=tuple(
            file.name for file in functions if applied_functions.get(file.name) != file.checksum
        ),
    )


def _refuse(state: MigrationStatus) -> None:
    old = next((row.name for row in state.applied if row.name in BEFORE_BASELINE), None)
    if old is not None:
        raise SchemaBeforeBaseline(
            f"the database has migration {old}, which is older than the baseline",
            version=int(old[:4]),
        )
    if state.edited:
        name = state.edited[0]
        raise MigrationEdited(
            f"migration {name} was edited after it had been applied", version=int(name[:4])
        )
    if state.unknown:
        raise MigrationUnknown(
            f"the database has migration {state.unknown[0]}, which sql/migrations/ does not",
            version=int(state.unknown[0][:4]),
        )
    late = [name for name in state.pending if int(name[:4]) < state.version]
    if late:
        raise MigrationError(
            f"migration {late[0]} is new, but number {state.version} is already applied",
            version=int(late[0][:4]),
            hint="Give it the next free number.",
        )


def _apply_migration(database: Database, file: SqlFile, wait_seconds: float) -> None:
    started = time.perf_counter()
    run_steps(database, file, file.before, wait_seconds=wait_seconds)
    if file.is_stepwise:
        run_steps(database, file, file.text, wait_seconds=wait_seconds)

    def apply(connection: Connection) -> None:
        # The file's statements come last, because its locks are held until the commit.
        connection.execute(
            "INSERT INTO drip_schema_migrations (version, name, checksum, duration_ms)"
            " VALUES (%s, %s, %s, 0)",
            [file.version, file.name, file.checksum],
        )
        if not file.is_stepwise:
            _execute(connection, file, file.text, "migration")

    in_transaction(database, apply, what=f"migration {file.name}", wait_seconds=wait_seconds)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE drip_schema_migrations SET duration_ms = %s WHERE version = %s",
            [_elapsed_ms(started), file.version],
        )
    log.info("migration %s applied in %d ms", file.name, _elapsed_ms(started))


def _apply_functions(database: Database, files: list[SqlFile], wait_seconds: float) -> None:
    """Create the functions in one transaction, which locks no table; then each trigger that is new
    or changed in one of its own; then run the files' queries, which need the triggers."""
    parts = [
        (file, part, _TRIGGER.match(part.code)) for file in files for part in statements(file.text)
    ]
    bodies = [(f, p) for f, p, trigger in parts if not trigger and not _is_query(p.code)]
    calls = [(f, p) for f, p, _ in parts if _is_query(p.code)]

    def run(connection: Connection, chosen: list[tuple[SqlFile, Statement]]) -> None:
        for file, part in chosen:
            _execute(connection, file, part.code, "functions", line=part.line)

    if files:
        in_transaction(
            database, lambda c: run(c, bodies), what="functions", wait_seconds=wait_seconds
        )
    for file, part, trigger in parts:
        if trigger:
            _apply_trigger(database, file, part, trigger, wait_seconds)

    def finish(connection: Connection) -> None:
        run(connection, calls)
        for file in files:
            _store_checksum(connection, file.name, file.checksum)

    if files:
        in_transaction(database, finish, what="functions", wait_seconds=wait_seconds)
        log.info("%d files of functions applied", len(files))


def _apply_trigger(
    database: Database, file: SqlFile, part: Statement, trigger: re.Match[str], seconds: float
) -> None:
    """Create a trigger, unless it exists as it is: replacing it would lock its table."""
    table, name = trigger["table"], trigger["name"]
    checksum = hashlib.sha256(part.code.encode()).hexdigest()
    key = f"{table}.{name}"
    with database.transaction() as connection:
        stored = queries.scalar(connection, "trigger_checksum", table=table, name=name, key=key)
    if stored == checksum:
        return

    def create(connection: Connection) -> None:
        _store_checksum(connection, key, checksum)
        _execute(connection, file, part.code, "functions", line=part.line)

    in_transaction(database, create, what=f"the trigger {name} on {table}", wait_seconds=seconds)


def _is_query(code: str) -> bool:
    return code.startswith("SELECT ")


def _store_checksum(connection: Connection, name: str, checksum: str) -> None:
    connection.execute(
        "INSERT INTO drip_schema_functions (name, checksum) VALUES (%s, %s)"
        " ON CONFLICT (name) DO UPDATE"
        " SET checksum = EXCLUDED.checksum, applied_at = now()",
        [name, checksum],
    )


def _finish(connection: Connection, files: list[SqlFile], folder: Path) -> tuple[str, ...]:
    """Remove what is stored of removed files, and set the privileges."""
    parts = (part for file in files for part in statements(file.text))
    triggers = [f"{t['table']}.{t['name']}" for p in parts if (t := _TRIGGER.match(p.code))]
    connection.execute(
        "DELETE FROM drip_schema_functions WHERE NOT name = ANY(%s)",
        [[*(file.name for file in files), *triggers]],
    )
    return _set_privileges(connection, folder)


def _set_privileges(connection: Connection, folder: Path) -> tuple[str, ...]:
    """Revoke what a platform's default privileges grant its public roles on the engine's objects,
    and return the application's tables that are open to them.

    At each run: the roles, or the privileges, may be younger than the schema.
    """
    if not queries.scalar(connection, "has_privileges_to_set"):
        return ()
    objects = schema_objects(folder)
    queries.run(
        connection,
        "store_schema_objects",
        kinds=[kind for kind, _ in objects],
        names=[name for _, name in objects],
    )
    return tuple(table.name for table in queries.records(connection, "set_privileges", OpenTable))


def _execute(connection: Connection, file: SqlFile, text: str, kind: str, *, line: int = 1) -> None:
    """Run a text that begins in this line of the file. Errors of locks are raised as they are."""
    try:
        connection.execute(text.encode(), prepare=False)
    except LOCK_ERRORS:
        raise
    except psycopg.Error as error:
        position = error.diag.statement_position
        number = line + text.count("\n", 0, int(position)) if position else None
        where = f", line {number}" if number else ""
        raise MigrationFailed(
            f"{kind} {file.name}{where}: {safe_text(error)}",
            version=file.version or None,
            hint=f"Nothing of this file was applied. {_next_step(error)}",
        ) from None


def _next_step(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "Run `drip db migrate` as the owner of the tables, views and functions."
    return "Correct it and run `drip db migrate` again."


def _elapsed_ms(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
