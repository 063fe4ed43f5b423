"""Retry of transactions that conflict with a concurrent writer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from drip_pipeline.errors import Conflict

CONFLICT_TRIES: Final = 4

Result = TypeVar("Result")


def is_conflict(error: Exception) -> bool:
    """Return whether the error is a serialization failure, a deadlock or a lock timeout."""
    return isinstance(error, Conflict)


def retry_on_conflict(
    transaction: Callable[[], Result], *, is_retried: Callable[[Exception], bool] = is_conflict
) -> Result:
    """Run a transaction, up to four times while it raises an error that `is_retried` accepts.

    `transaction` opens and commits its own transaction or savepoint. Raises the last error.
    """
    for _ in range(CONFLICT_TRIES - 1):
        try:
            return transaction()
        except Exception as error:
            if not is_retried(error):
                raise
    return transaction()
