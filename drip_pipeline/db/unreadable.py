"""Values that PostgreSQL holds and Python does not: times beyond the year 9999 or `infinity`, JSON
numbers beyond 1e308, JSON nested too deeply.

Rows are read with the ordinary loaders. Only if one fails, the result, which is still in memory, is
read again value by value, and each value that fails becomes an `Unreadable`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from psycopg.adapt import Transformer

LOADER_ERRORS: Final = (psycopg.DataError, ValueError, ArithmeticError, RecursionError)
"""What loaders raise for a value: psycopg for times, orjson (a ValueError) for JSON."""
_TIMES: Final = frozenset({1082, 1083, 1114, 1184, 1186, 1266})
_JSON: Final = frozenset({114, 3802})


class Unreadable(NamedTuple):
    """A value that cannot be read, of this column. `reason` quotes nothing of it."""

    column: str
    reason: str

    def describe(self, contact_id: UUID) -> str:
        """Return the sentence that names the contact and the column."""
        return f"contact {contact_id}: column {self.column} cannot be read: {self.reason}"


NESTED_TAGS: Final = Unreadable("tags", "it is an array of arrays")


def read_result(
    connection: psycopg.Connection[Any], cursor: psycopg.Cursor[Any]
) -> list[tuple[Any, ...]]:
    """Return all rows of an executed cursor, with `Unreadable` in place of values that fail."""
    result = cursor.pgresult
    assert result is not None
    transformer = Transformer.from_context(connection)
    loaders = [
        transformer.get_loader(result.ftype(n), psycopg.pq.Format(result.fformat(n)))
        for n in range(result.nfields)
    ]
    rows: list[tuple[Any, ...]] = []
    for number in range(result.ntuples):
        row: list[Any] = []
        for place, loader in enumerate(loaders):
            stored = result.get_value(number, place)
            try:
                row.append(None if stored is None else loader.load(stored))
            except LOADER_ERRORS:
                column = (result.fname(place) or b"").decode()
                row.append(Unreadable(column, _reason(result.ftype(place))))
        rows.append(tuple(row))
    return rows


def _reason(type_oid: int) -> str:
    if type_oid in _TIMES:
        return "the time is outside the years 1 to 9999"
    if type_oid in _JSON:
        return "the JSON has a number beyond 1e308 or is nested too deeply"
    return "the value cannot be read"
