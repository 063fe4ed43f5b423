"""Transactions and index builds that do not block an application's writers.

A statement that waits for a lock makes all later ones wait behind it. So a transaction of a
migration waits for each lock only briefly; then it is rolled back, which releases what it holds,
and tried again later. Indexes are built concurrently.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, TypeVar

import psycopg

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.migration_files import SqlFile, Statement, statements
from drip_pipeline.errors import Conflict, DatabaseError, MigrationFailed

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Any constant does, as long as nobody else in the database uses it: the first bytes of
# sha256('drip_pipeline.migrate').
LOCK_KEY: Final = 0x800A_916A
LONGEST_LOCK_WAIT_MS: Final = 100
"""How long a statement may wait for a lock, and so make an application's statements wait."""
LONGEST_WAIT_SECONDS: Final = 600.0
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 2.0
LOCK_ERRORS: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
_LOCK_STATES: Final = frozenset(error.sqlstate for error in LOCK_ERRORS)

# A limit of the role is for its everyday statements; an index of a large table takes longer.
# Servers before PostgreSQL 17 have no transaction_timeout.
WITHOUT_TIME_LIMIT: Final = """
SELECT set_config(s.name, '0', true) FROM pg_settings s
WHERE s.name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')
"""
_SESSION_WITHOUT_LIMITS: Final = """
SELECT set_config(s.name, '0', false) FROM pg_settings s
WHERE s.name IN ('statement_timeout', 'transaction_timeout', 'lock_timeout')
"""

_BLOCKS_AT_ONCE: Final = 32
"""Of 8 kB: some 2,000 rows, changed in about 50 ms."""
BLOCKS: Final = re.compile(r"^-- blocks of (?P<table>[a-z_]+)$", re.MULTILINE)
INDEX: Final = re.compile(
    r"CREATE (?P<unique>UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (?P<name>[a-z_0-9]+)\s+"
    r"ON (?P<table>[a-z_0-9]+) (?P<rest>.*)",
    re.DOTALL,
)
DROPPED_INDEX: Final = re.compile(r"DROP INDEX CONCURRENTLY IF EXISTS (?P<name>[a-z_0-9]+)")


class OldTransaction(NamedTuple):
    """A transaction of another session of the database, and when it began."""

    process_id: int
    application_name: str
    began_at: datetime


class TableKind(NamedTuple):
    """Whether a table is partitioned, and its size in blocks of 8 kB."""

    is_partitioned: bool
    blocks: int


class LeafPartition(NamedTuple):
    """A partition without partitions, its name quoted, and its oid."""

    name: str
    relation_id: int


class IndexState(NamedTuple):
    """Whether an index is complete, and whether it is that of a partitioned table."""

    is_valid: bool
    is_partitioned: bool


def in_transaction(
    database: Database, work: Callable[[Connection], Result], *, what: str, wait_seconds: float
) -> Result:
    """Return the result of `work` in a transaction that waits for a lock for at most 100 ms; then
    it is rolled back and tried again.

    `what` names the work in logs and errors. Raises MigrationFailed if the locks are not available
    for `wait_seconds`.
    """
    until = time.monotonic() + wait_seconds
    pause = _FIRST_PAUSE_SECONDS
    is_logged = False
    while True:
        try:
            with database.transaction() as connection:
                connection.execute(WITHOUT_TIME_LIMIT)
                queries.run(connection, "set_lock_timeout", milliseconds=str(LONGEST_LOCK_WAIT_MS))
                return work(connection)
        except Conflict as error:
            if error.sqlstate not in _LOCK_STATES:
                raise
            if time.monotonic() > until:
                raise MigrationFailed(
                    f"{what}: {error}{_oldest_transaction(database)}",
                    hint="Another transaction held a table all the time: run `drip db migrate`"
                    " again when it has ended. What was not applied is applied then.",
                ) from None
        if not is_logged:
            log.info(
                "%s waits for a lock, and holds none meanwhile%s",
                what,
                _oldest_transaction(database),
            )
            is_logged = True
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)


def run_steps(database: Database, file: SqlFile, text: str, *, wait_seconds: float) -> None:
    """Run the statements of a text one after the other, each in a transaction of its own.

    Indexes are built and dropped concurrently. A statement with the comment `-- blocks of TABLE` is
    run for each range of the table's blocks, with the parameters `from_row` and `to_row`. After an
    interruption the statements are run again from the first, so each must be repeatable. Raises
    MigrationFailed, with the line.
    """
    for statement in statements(text):
        try:
            _run_step(database, statement, what=f"migration {file.name}", seconds=wait_seconds)
        except MigrationFailed:
            raise
        except DatabaseError as error:
            raise MigrationFailed(
                f"migration {file.name}, line {statement.line}: {error}",
                version=file.version,
                hint="The statements before it were applied, and are repeated without effect."
                " Correct it and run `drip db migrate` again.",
            ) from None


def _run_step(database: Database, statement: Statement, *, what: str, seconds: float) -> None:
    code = statement.code
    if index := INDEX.fullmatch(code):
        build_index(database, index, wait_seconds=seconds)
        return
    if dropped := DROPPED_INDEX.fullmatch(code):
        drop_index(database, dropped["name"], wait_seconds=seconds)
        return
    ranges: list[dict[str, str] | None] = [None]
    if blocks := BLOCKS.search(statement.text):
        with database.transaction() as connection:
            kind = queries.record(connection, "table_kind", TableKind, name=blocks["table"])
        last = kind.blocks if kind else 0
        ranges = [
            {"from_row": f"({first},0)", "to_row": f"({first + _BLOCKS_AT_ONCE},0)"}
            for first in range(0, last, _BLOCKS_AT_ONCE)
        ]
        if ranges:
            log.info("%s: %d ranges of %s to fill", what, len(ranges), blocks["table"])
    for values in ranges:
        in_transaction(
            database,
            partial(_execute, code=code, values=values),
            what=what,
            wait_seconds=seconds,
        )


def _execute(connection: Connection, *, code: str, values: dict[str, str] | None) -> None:
    connection.execute(code.encode(), values, prepare=False)


def build_index(database: Database, match: re.Match[str], *, wait_seconds: float) -> None:
    """Build the index of a `CREATE INDEX CONCURRENTLY IF NOT EXISTS` that matched INDEX.

    An index that an interrupted build left behind is not valid: it is dropped and built again. The
    indexes of a partitioned table are built on its partitions, and then belong to it.
    """
    unique, name, table, rest = match.group("unique", "name", "table", "rest")
    with database.transaction() as connection:
        kind = queries.record(connection, "table_kind", TableKind, name=table)
        leaves = (
            queries.records(connection, "leaf_partitions", LeafPartition, name=table)
            if kind is not None and kind.is_partitioned
            else []
        )
    if kind is None:
        return
    create = f"CREATE {unique or ''}INDEX"
    for leaf in leaves:
        part = f"{name}_{leaf.relation_id}"
        _build(database, f"{create} CONCURRENTLY", part, leaf.name, rest, wait_seconds)
    if kind.is_partitioned:
        text = f"{create} IF NOT EXISTS {name} ON {table} {rest}"
        in_transaction(
            database,
            partial(_execute, code=text, values=None),
            what=f"the index {name}",
            wait_seconds=wait_seconds,
        )
    else:
        _build(database, f"{create} CONCURRENTLY", name, table, rest, wait_seconds)


def drop_index(database: Database, name: str, *, wait_seconds: float) -> None:
    """Drop an index, if it exists, without making writers wait."""
    with database.transaction() as connection:
        state = queries.record(connection, "index_state", IndexState, name=name)
    if state is None:
        return
    if state.is_partitioned:
        in_transaction(
            database,
            partial(_execute, code=f"DROP INDEX {name}", values=None),
            what=f"dropping the index {name}",
            wait_seconds=wait_seconds,
        )
    else:
        _outside_transaction(database, f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _build(
    database: Database, create: str, name: str, table: str, rest: str, wait_seconds: float
) -> None:
    with database.transaction() as connection:
        state = queries.record(connection, "index_state", IndexState, name=name)
    if state is not None and state.is_valid:
        return
    if state is not None:
        log.info("the index %s is not complete: dropped and built again", name)
        drop_index(database, name, wait_seconds=wait_seconds)
    started = time.perf_counter()
    log.info("building the index %s%s", name, _oldest_transaction(database))
    _outside_transaction(database, f"{create} {name} ON {table} {rest}")
    log.info("index %s built in %.1f s", name, time.perf_counter() - started)


def _outside_transaction(database: Database, statement: str) -> None:
    """Run a statement that must not be in a transaction. It waits for older transactions of the
    database without a lock that conflicts with writers, so its waits have no limit."""
    is_pooled = database.is_pooled
    with database.autocommit() as connection:
        if not is_pooled:
            connection.execute(_SESSION_WITHOUT_LIMITS)
        connection.execute(statement.encode(), prepare=False)


def _oldest_transaction(database: Database) -> str:
    with database.transaction() as connection:
        oldest = queries.record(connection, "oldest_transaction", OldTransaction, lock_key=LOCK_KEY)
    if oldest is None:
        return ""
    return (
        f"; the oldest transaction: server process {oldest.process_id}"
        f" ({oldest.application_name or 'without a name'}), open since {oldest.began_at:%F %T} UTC"
    )
