"""Tell errors that the data of one row causes, which isolating the row confines, from others."""

from __future__ import annotations

from typing import Final

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
