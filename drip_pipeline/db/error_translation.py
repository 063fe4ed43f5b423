"""The border at which psycopg's errors become `DripError`s. Their messages never carry values:
PostgreSQL's details and data errors quote rows, and rows hold people's addresses. Recovery does not
belong here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg

from drip_pipeline import errors

_RETRYABLE = (pg.SerializationFailure, pg.DeadlockDetected, pg.LockNotAvailable)
_SCHEMA = (pg.UndefinedTable, pg.UndefinedColumn, pg.UndefinedFunction, pg.UndefinedObject)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise any psycopg error from the body as the `DripError` it stands for.

    The original is cut off (`from None`): its text quotes rows, and a traceback would put them into
    the log.
    """
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from None


def translate(error: psycopg.Error) -> errors.DatabaseError:
    """The `DatabaseError` for one of psycopg's."""
    state = error.sqlstate
    text = safe_text(error)
    diag = error.diag
    if isinstance(error, psycopg.IntegrityError):
        return errors.ConstraintViolated(
            text, constraint=diag.constraint_name, table=diag.table_name, sqlstate=state
        )
    if isinstance(error, _RETRYABLE):
        return errors.Conflict(text, sqlstate=state)
    if isinstance(error, pg.QueryCanceled):
        return errors.StatementCancelled(text, sqlstate=state)
    if isinstance(error, _SCHEMA):
        return errors.SchemaMismatch(f"the database does not fit: {text}", sqlstate=state)
    if isinstance(error, pg.InsufficientPrivilege):
        return errors.PermissionMissing(text, sqlstate=state)
    if isinstance(error, psycopg.DataError):
        return errors.DataRejected(text, sqlstate=state)
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return errors.DatabaseUnavailable(f"the database is not available: {text}", sqlstate=state)
    return errors.DatabaseError(text, sqlstate=state)


def safe_text(error: psycopg.Error) -> str:
    """What may be shown of an error: the server's first line, except for data errors, whose first
    line quotes the value.
    """
    if isinstance(error, psycopg.DataError) and error.sqlstate:
        where = error.diag.column_name
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
        return f"a value was rejected ({kind}{f', column {where}' if where else ''})"
    primary = error.diag.message_primary
    if primary:
        return primary
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
