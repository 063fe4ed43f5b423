"""Apply the migrations sql/migrations/NNNN_action_object.sql, then sql/functions/*.sql.

Migrations run forward only, one transaction each, under an advisory lock that another transaction
holds. All functions are applied if one of their files changed. The files are plain SQL, so
Supabase's tools can apply them, too.
"""

from __future__ import annotations

import logging
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
    SqlFile,
    function_files,
    migration_files,
    schema_objects,
    table_names,
)
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

# Any constant does, as long as nobody else in the database uses it: the first bytes of
# sha256('drip_pipeline.migrate').
LOCK_KEY = 0x800A_916A
LONGEST_WAIT_SECONDS = 600.0
_SECONDS_BETWEEN_TRIES = 0.2
# Migrations whose files were merged into the baseline 0001 to 0008; only older databases have them.
BEFORE_BASELINE = frozenset({"0005_create_versions_and_tests", "0006_create_outbox_and_ledger"})

# A limit of the role is for its everyday statements; an index of a large table takes longer.
# Servers before PostgreSQL 17 have no transaction_timeout.
_WITHOUT_TIME_LIMIT = """
SELECT set_config(s.name, '0', true) FROM pg_settings s
WHERE s.name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')
"""

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
    with _locked(database, wait_seconds):
        with database.transaction() as connection:
            if not _has_bookkeeping(connection):
                connection.execute(_BOOKKEEPING)
            state = _compared(connection, migrations, functions)
            _refuse(state)
        pending = [file for file in migrations if file.name in state.pending]
        for position, file in enumerate(pending, start=1):
            log.info("migration %s (%d of %d)", file.name, position, len(pending))
            _apply_migration(database, file)
        # New tables may be what a function was written for, so a migration brings all functions
        # along.
        changed = functions if pending or state.functions else []
        with database.transaction() as connection:
            _apply_functions(connection, changed)
            _forget_removed(connection, functions)
            open_tables = _set_privileges(connection, folder)
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
                guard.execute(_WITHOUT_TIME_LIMIT)
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
            if file.version in by_version and by_version[file.version].checksum != file.checksum
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


def _apply_migration(database: Database, file: SqlFile) -> None:
    started = time.perf_counter()
    with database.transaction() as connection:
        connection.execute(_WITHOUT_TIME_LIMIT)
        _execute(connection, file, "migration")
        connection.execute(
            "INSERT INTO drip_schema_migrations (version, name, checksum, duration_ms)"
            " VALUES (%s, %s, %s, %s)",
            [file.version, file.name, file.checksum, _elapsed_ms(started)],
        )
    log.info("migration %s applied in %d ms", file.name, _elapsed_ms(started))


def _apply_functions(connection: Connection, files: list[SqlFile]) -> None:
    if not files:
        return
    connection.execute(_WITHOUT_TIME_LIMIT)
    for file in files:
        _execute(connection, file, "functions")
        connection.execute(
            "INSERT INTO drip_schema_functions (name, checksum) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE"
            " SET checksum = EXCLUDED.checksum, applied_at = now()",
            [file.name, file.checksum],
        )
    log.info("%d files of functions applied", len(files))


def _forget_removed(connection: Connection, files: list[SqlFile]) -> None:
    connection.execute(
        "DELETE FROM drip_schema_functions WHERE NOT name = ANY(%s)", [[f.name for f in files]]
    )


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


def _execute(connection: Connection, file: SqlFile, kind: str) -> None:
    try:
        connection.execute(file.text, prepare=False)
    except psycopg.Error as error:
        position = error.diag.statement_position
        line = file.text.count("\n", 0, int(position)) + 1 if position else None
        where = f", line {line}" if line else ""
        raise MigrationFailed(
            f"{kind} {file.name}{where}: {safe_text(error)}",
            version=file.version or None,
            hint=f"Nothing of this file was applied. {_next_step(error)}",
        ) from None


def _next_step(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return (
            "Another transaction held a table for longer than lock_timeout: run `drip db migrate`"
            " again when it has ended."
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "Run `drip db migrate` as the owner of the tables, views and functions."
    return "Correct it and run `drip db migrate` again."


def _elapsed_ms(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
