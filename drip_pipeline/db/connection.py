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
from drip_pipeline.db.pooler import CONNECT_TIMEOUT_SECONDS as CONNECT_TIMEOUT_SECONDS
from drip_pipeline.db.pooler import (
    DIRECT,
    Access,
    has_other_process_id,
    is_refusal_of_options,
    through_pooler,
)
from drip_pipeline.db.urls import libpq_url, without_password
from drip_pipeline.errors import DatabaseUnavailable
from drip_pipeline.settings import Pooler, Settings

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

POOL_SIZE = 8


class Database:
    """One PostgreSQL database with a connection pool, opened at first use. Thread-safe."""

    __slots__ = (
        "_access",
        "_application_name",
        "_lock",
        "_pool",
        "_pool_size",
        "_pooler",
        "_url",
    )

    def __init__(
        self,
        url: str,
        *,
        application_name: str = "drip",
        pool_size: int = POOL_SIZE,
        pooler: Pooler = "auto",
    ) -> None:
        """`pool_size`: maximum number of connections; a thread waits up to 30 s for one. `pooler`
        as in DRIP_DATABASE_POOLER."""
        self._url = libpq_url(url)
        self._pooler: Pooler = pooler
        self._access: Access | None = None
        self._pool_size = pool_size
        self._application_name = application_name
        self._pool: tuple[ConnectionPool[Connection], Access] | None = None
        self._lock = Lock()

    @classmethod
    def from_settings(
        cls, settings: Settings, *, application_name: str = "drip", pool_size: int = POOL_SIZE
    ) -> Database:
        """Return the database of DRIP_DATABASE_URL, or else the embedded server's, started if it is
        not running."""
        if settings.database_url is not None:
            url = settings.database_url.reveal()
            return cls(
                url,
                application_name=application_name,
                pool_size=pool_size,
                pooler=settings.database_pooler,
            )
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
            with translated_errors(self._url), self._session() as (access, connection):
                if is_read_only:
                    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                access.begin_transaction(connection)
                yield connection
        except DatabaseUnavailable as error:
            if error.sqlstate is None or error.sqlstate.startswith("57P"):  # a shutdown
                self._close_if_unreachable()
            raise

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Yield a new connection without a transaction (for VACUUM, CREATE DATABASE …).

        Behind a pooler each statement may run in another server session. Raises DatabaseUnsuitable
        there if the URL sets something, as search_path, that the statements would not have.
        """
        with translated_errors(self._url):
            access, connection = self._connected()
            with connection:
                access.check_autocommit()
                connection.autocommit = True
                yield connection

    def check_autocommit(self) -> None:
        """Raise DatabaseUnsuitable if `autocommit` would."""
        with translated_errors(self._url):
            self._opened()[1].check_autocommit()

    def check(self) -> None:
        """Raise DatabaseUnavailable, with the reason, if the database does not answer."""
        with self.transaction() as connection:
            connection.execute("SELECT")

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        with self._lock:
            opened, self._pool = self._pool, None
            self._access = None
        if opened is not None:
            opened[0].close()

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
            self._connected()[1].close()
        except psycopg.Error:
            self.close()

    @property
    def is_pooled(self) -> bool:
        """Return whether sessions last only as long as a transaction. Connects to notice it."""
        with translated_errors(self._url):
            return self._opened()[1].is_transactional

    @contextmanager
    def _session(self) -> Iterator[tuple[Access, Connection]]:
        pool, access = self._opened()
        with pool.connection() as connection:
            yield access, connection

    def _connected(self) -> tuple[Access, Connection]:
        if self._access is not None:
            access, connection = self._access, self._connect(self._access)
        elif self._pooler == "auto":
            access, connection = self._noticed()
        else:
            access = through_pooler(self._url, is_transactional=self._pooler == "transaction")
            connection = self._connect(access)
        self._access = access
        _configure(connection)
        access.begin_session(connection)
        return access, connection

    def _noticed(self) -> tuple[Access, Connection]:
        """Connect, and notice whether there is a pooler. Its mode cannot be known, so it is treated
        as one in transaction mode."""
        try:
            connection = self._connect(DIRECT)
        except psycopg.OperationalError as error:
            if not is_refusal_of_options(error):
                raise
            access = through_pooler(self._url, is_transactional=True)
            return access, self._connect(access)
        try:
            if not has_other_process_id(connection):
                return DIRECT, connection
            connection.prepare_threshold = None
            return through_pooler(self._url, is_transactional=True), connection
        except BaseException:
            connection.close()
            raise

    def _connect(self, access: Access) -> Connection:
        return psycopg.connect(self._url, **access.arguments(self._application_name))

    def _opened(self) -> tuple[ConnectionPool[Connection], Access]:
        with self._lock:
            if self._pool is None:
                # The pool reports an unreachable server only as a timeout, after retrying in the
                # background. This connection fails at once, with the reason.
                access, probe = self._connected()
                probe.close()

                def configure(connection: Connection) -> None:
                    _configure(connection)
                    access.begin_session(connection)

                pool: ConnectionPool[Connection] = ConnectionPool(
                    self._url,
                    kwargs=access.arguments(self._application_name),
                    min_size=0,
                    max_size=self._pool_size,
                    max_idle=60,
                    timeout=30,
                    reconnect_timeout=CONNECT_TIMEOUT_SECONDS,
                    configure=configure,
                    check=ConnectionPool.check_connection,
                    name="drip",
                    open=True,
                )
                self._pool = pool, access
            return self._pool


@contextmanager
def savepoint(connection: Connection) -> Iterator[Connection]:
    """Run the body under a savepoint: an exception rolls back this part of the transaction."""
    with translated_errors(), connection.transaction():
        yield connection


def check_deferred(connection: Connection) -> None:
    """Check deferred constraints now, not at the commit; later statements are checked at once.

    A constraint trigger of an application may refuse a row only then, and the whole batch with it.
    """
    with translated_errors():
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


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
