"""Translate psycopg errors into `DripError`s; the only place that does.

The messages contain no values: PostgreSQL's details and data errors quote rows, and rows contain
personal data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import psycopg
from psycopg import errors as pg

from drip_pipeline import errors
from drip_pipeline.db.urls import hide_passwords
from drip_pipeline.redaction import redact

_RETRYABLE = (pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable)
# Class 54: a value is too large or too deeply nested. psycopg counts it as operational, but the
# same value fails again.
_LIMIT_EXCEEDED = "54"
_TIME_LIMITS = (pg.QueryCanceled, pg.IdleInTransactionSessionTimeout)
_TRANSACTION_TIMEOUT = "25P04"  # of PostgreSQL 17; psycopg has no class for it in all versions
# A prepared statement of another client, or none where this client had one.
_SHARED_SESSION = frozenset({"42P05", "26000"})
_SHARED_SESSION_HINT = (
    "Another client used the same session of the server: set DRIP_DATABASE_POOLER=transaction."
)
_STATEMENT_MODE = "statement pooling mode"
_STATEMENT_MODE_HINT = (
    "The engine works in transactions: set the pooler's pool_mode to transaction or session."
)
_WRITABLE = (
    "Name the primary in DRIP_DATABASE_URL, or all hosts with ?target_session_attrs=read-write."
)
_SCHEMA = (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction, pg.UndefinedObject)


@contextmanager
def translated_errors(url: str = "") -> Iterator[None]:
    """Raise any psycopg error of the body as a `DripError`.

    The original is dropped (`from None`): its text quotes rows, and a traceback would log them.
    With the `url` of the connection, its passwords are masked: libpq quotes parts of a URL.
    """
    try:
        yield
    except psycopg.Error as error:
        translated = translate(error)
        if error.sqlstate is None and url:  # libpq's own text: the server does not know the URL
            translated.message = hide_passwords(translated.message, url)
            translated.args = (translated.message,)
        raise translated from None


@contextmanager
def translated_read_errors() -> Iterator[None]:
    """Raise any psycopg error of the body, and that of a JSON value which Python cannot hold, as a
    `DripError`. The body only executes a query and fetches its rows."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from None
    except orjson.JSONDecodeError:
        raise errors.DataRejected(
            "a stored JSON value has a number beyond 1e308 or is nested too deeply"
        ) from None


def translate(error: psycopg.Error) -> errors.DatabaseError:
    """Return the `DatabaseError` for a psycopg error."""
    state = error.sqlstate
    text = safe_text(error)
    diag = error.diag
    if isinstance(error, psycopg.IntegrityError):
        return errors.ConstraintViolated(
            text, constraint=diag.constraint_name, table=diag.table_name, sqlstate=state
        )
    if isinstance(error, _RETRYABLE):
        return errors.Conflict(text, sqlstate=state)
    if isinstance(error, _TIME_LIMITS) or state == _TRANSACTION_TIMEOUT:
        return errors.StatementCancelled(text, sqlstate=state)
    if isinstance(error, _SCHEMA):
        return errors.SchemaMismatch(f"schema mismatch: {text}", sqlstate=state)
    if isinstance(error, pg.ReadOnlySqlTransaction):
        return errors.PermissionMissing(
            f"the server or the role is read-only: {text}", hint=_WRITABLE, sqlstate=state
        )
    if isinstance(error, pg.InsufficientPrivilege):
        return errors.PermissionMissing(text, sqlstate=state)
    if state in _SHARED_SESSION:
        return errors.DatabaseError(text, sqlstate=state, hint=_SHARED_SESSION_HINT)
    if _STATEMENT_MODE in text:
        return errors.DatabaseError(text, sqlstate=state, hint=_STATEMENT_MODE_HINT)
    if isinstance(error, psycopg.DataError) or (state or "").startswith(_LIMIT_EXCEEDED):
        return errors.DataRejected(text, sqlstate=state)
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return errors.DatabaseUnavailable(f"the database is not available: {text}", sqlstate=state)
    return errors.DatabaseError(text, sqlstate=state)


def safe_text(error: psycopg.Error) -> str:
    """Return the server's first line, or for data errors only their kind and column, because the
    line quotes the value."""
    if isinstance(error, psycopg.DataError) and error.sqlstate:
        where = error.diag.column_name
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
        return f"a value was rejected ({kind}{f', column {where}' if where else ''})"
    primary = error.diag.message_primary
    if primary:
        return redact(primary)  # triggers of an application quote what they refuse
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
