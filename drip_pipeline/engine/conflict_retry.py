"""Retry of transactions that conflict with a concurrent writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import sleep
from typing import Final, TypeVar

from drip_pipeline.errors import Conflict

CONFLICT_TRIES: Final = 4

Result = TypeVar("Result")


def is_conflict(error: Exception) -> bool:
    """Return whether the error is a serialization failure, a deadlock or a lock timeout."""
    return isinstance(error, Conflict)


def retry_on_conflict(
    transaction: Callable[[], Result],
    *,
    is_retried: Callable[[Exception], bool] = is_conflict,
    pauses_seconds: Sequence[float] = (0.0,) * (CONFLICT_TRIES - 1),
) -> Result:
    """Run a transaction, and repeat it while it raises an error that `is_retried` accepts.

    By default it runs up to four times at once; otherwise once more after each of the pauses.
    `transaction` opens and commits its own transaction or savepoint. Raises the last error.
    """
    for pause in pauses_seconds:
        try:
            return transaction()
        except Exception as error:
            if not is_retried(error):
                raise
            sleep(pause)
    return transaction()
