"""Tell errors that the data of one row causes from others, and confine them to that row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from drip_pipeline.db.connection import Connection, check_deferred, savepoint
from drip_pipeline.db.operations import data_faults as data_faults_db
from drip_pipeline.db.operations.data_faults import DataFault
from drip_pipeline.errors import (
    Conflict,
    DatabaseUnavailable,
    DripError,
    PermissionMissing,
    QueryNotFound,
    SchemaMismatch,
    SettingsError,
    StatementCancelled,
)

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

_OF_THE_SURROUNDINGS: Final = (
    Conflict,
    DatabaseUnavailable,
    PermissionMissing,
    QueryNotFound,
    SchemaMismatch,
    SettingsError,
    StatementCancelled,
    MemoryError,
    OSError,
)
"""Errors that every row would meet, and that a later attempt may not meet."""


def is_of_the_data(error: Exception) -> bool:
    """Return whether an error can be caused by a value of one row."""
    return not isinstance(error, _OF_THE_SURROUNDINGS)


def describe(error: Exception) -> str:
    """Return the reason to store: the message of a DripError, otherwise only the class name,
    because foreign messages may quote personal data."""
    return str(error) if isinstance(error, DripError) else type(error).__name__


def report_left_out(
    connection: Connection, contact_id: UUID, what: str, error: Exception, now: datetime
) -> None:
    """Store why something of a contact could not be written and was left as it is, for the incident
    that names the contact. `what` begins the sentence, as "a message could not be settled"."""
    reason = f"{what}: {describe(error)}"
    log.error("contact %s: %s", contact_id, reason)
    data_faults_db.store(connection, [DataFault(contact_id, None, None, None, reason)], now)


def apply_isolating(
    connection: Connection,
    items: Sequence[Item],
    apply: Callable[[Sequence[Item]], Result],
    refuse: Callable[[Item, Exception], None],
    *,
    done: list[Result] | None = None,
) -> list[Result]:
    """Call `apply` with parts of the items, each under a savepoint of the caller's transaction.

    A part that fails because of its data is bisected, until the items that fail by themselves are
    alone: `refuse` gets each of them with its error. Deferred constraints are checked with each
    part. Returns the results of the parts that were applied, appended to `done`, which `apply` may
    read; it must change nothing itself, because its part may be rolled back afterwards. Raises any
    other error.
    """
    results = [] if done is None else done
    parts = [items]
    while parts:
        part = parts.pop()
        try:
            with savepoint(connection):
                result = apply(part)
                check_deferred(connection)
        except Exception as error:
            if not is_of_the_data(error):
                raise
            if len(part) == 1:
                refuse(part[0], error)
                continue
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
        else:
            results.append(result)
    return results
