"""Connections and transactions.

Other packages reach PostgreSQL through a `Database`. The `Connection` that it yields is inside a
transaction, with the time zone UTC. Statements belong to sql/queries/ and queries.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from threading import Lock
from types import TracebackType
from typing import Any, TypeAlias

import orjson
import psycopg
from psycopg.types.json import JsonbDumper, set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool

from drip_pipeline.db.binary_arrays import DUMPERS
from drip_pipeline.db.error_translation import translated_errors
from drip_pipeline.db.urls import libpq_url, without_password
from drip_pipeline.errors import DatabaseUnavailable
from drip_pipeline.settings import Settings

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

CONNECT_TIMEOUT_SECONDS = 10
POOL_SIZE = 8
# JIT compiles for longer than any of the engine's statements run.
_SESSION_SETTINGS = "SET TIME ZONE 'UTC'; SET jit = off; SET client_encoding = 'UTF8'"


class Database:
    """One PostgreSQL database with a connection pool, opened at first use. Thread-safe."""

    __slots__ = ("_application_name", "_lock", "_pool", "_pool_size", "_url")

    def __init__(
        self, url: str, *, application_name: str = "drip", pool_size: int = POOL_SIZE
    ) -> None:
        """`pool_size`: maximum number of connections; a thread waits up to 30 s for one."""
        self._url = libpq_url(url)
        self._pool_size = pool_size
        self._application_name = application_name
        self._pool: ConnectionPool[Connection] | None = None
        self._lock = Lock()

    @classmethod
    def from_settings(
        cls, settings: Settings, *, application_name: str = "drip", pool_size: int = POOL_SIZE
    ) -> Database:
        """Return the database of DRIP_DATABASE_URL, or else the embedded server's, started if it is
        not running."""
        if settings.database_url is not None:
            url = settings.database_url.reveal()
            return cls(url, application_name=application_name, pool_size=pool_size)
        from drip_pipeline.db.embedded.server import EmbeddedServer

        url = EmbeddedServer.from_settings(settings).ensure_running()
        return cls(url, application_name=application_name, pool_size=pool_size)

    @property
    def url(self) -> str:
        """The libpq URL with the password. Do not log it."""
        return self._url

    def __repr__(self) -> str:
        return f"Database({without_password(self._url)!r})"

    @contextmanager
    def transaction(self, *, is_read_only: bool = False) -> Iterator[Connection]:
        """Yield a connection in a transaction: committed at the end, rolled back on an exception.

        With `is_read_only` all statements read one snapshot, and writes are refused. Database
        errors are raised as DripErrors.
        """
        try:
            with translated_errors(self._url), self._opened().connection() as connection:
                if is_read_only:
                    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield connection
        except DatabaseUnavailable as error:
            if error.sqlstate is None or error.sqlstate.startswith("57P"):  # a shutdown
                self._close_if_unreachable()
            raise

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Yield a new connection without a transaction (for VACUUM, CREATE DATABASE …)."""
        with translated_errors(self._url), self._connected() as connection:
            connection.autocommit = True
            yield connection

    def check(self) -> None:
        """Raise DatabaseUnavailable, with the reason, if the database does not answer."""
        with self.transaction() as connection:
            connection.execute("SELECT")

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _close_if_unreachable(self) -> None:
        """Close the pool if the server is gone: the next use then fails at once and with the
        reason, and does not wait for a connection of the pool."""
        try:
            self._connected().close()
        except psycopg.Error:
            self.close()

    def _connected(self) -> Connection:
        connection: Connection = psycopg.connect(
            self._url,
            application_name=self._application_name,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
        )
        _configure(connection)
        return connection

    def _opened(self) -> ConnectionPool[Connection]:
        with self._lock:
            if self._pool is None:
                # The pool reports an unreachable server only as a timeout, after retrying in the
                # background. This connection fails at once, with the reason.
                self._connected().close()
                self._pool = ConnectionPool(
                    self._url,
                    kwargs={
                        "application_name": self._application_name,
                        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                    },
                    min_size=0,
                    max_size=self._pool_size,
                    max_idle=60,
                    timeout=30,
                    reconnect_timeout=CONNECT_TIMEOUT_SECONDS,
                    configure=_configure,
                    check=ConnectionPool.check_connection,
                    name="drip",
                    open=True,
                )
            return self._pool


@contextmanager
def savepoint(connection: Connection) -> Iterator[Connection]:
    """Run the body under a savepoint: an exception rolls back this part of the transaction."""
    with translated_errors(), connection.transaction():
        yield connection


def dump_json(value: object) -> bytes:
    """Return JSON for the database; datetimes, UUIDs and dataclasses are supported, NaN is null."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class _DictDumper(JsonbDumper):
    """Dump unwrapped dictionaries as jsonb; `set_json_dumps` applies only to wrapped ones."""

    def dump(self, obj: object) -> bytes:
        return dump_json(obj)


def _configure(connection: Connection) -> None:
    set_json_dumps(dump_json, connection)
    set_json_loads(orjson.loads, connection)
    connection.adapters.register_dumper(dict, _DictDumper)
    for column, dumper in DUMPERS:
        connection.adapters.register_dumper(column, dumper)
    connection.execute(_SESSION_SETTINGS)
    connection.commit()
