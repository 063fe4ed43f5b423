"""Load and execute named queries.

Each query of sql/queries/*.sql begins with `-- name: its_name`, then one or more comment lines with
its purpose, then SQL with `%(name)s` parameters (a literal percent sign is `%%`). Only modules of
db/ execute queries by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from psycopg.rows import RowMaker, dict_row

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.error_translation import translated_read_errors
from drip_pipeline.db.unreadable import LOADER_ERRORS, read_result
from drip_pipeline.errors import DatabaseError, QueryFileInvalid, QueryNotFound

SQL_FOLDER = Path(__file__).resolve().parents[2] / "sql"
_NAME = re.compile(r"^--\s*name:\s*(?P<name>\S+)\s*$")
_VALID = re.compile(r"[a-z][a-z0-9_]*")


Row = TypeVar("Row", bound=tuple[Any, ...])
"""A NamedTuple whose fields are the query's columns, in their order."""


@dataclass(frozen=True, slots=True)
class Query:
    """One named query: its purpose, its text, and its file."""

    name: str
    purpose: str
    text: str
    file: str


def sql(name: str) -> str:
    """Return the text of a named query. Raises QueryNotFound."""
    try:
        return all_queries()[name].text
    except KeyError:
        raise QueryNotFound(name) from None


def records(
    connection: Connection, name: str, row_type: type[Row], /, **params: object
) -> list[Row]:
    """Return all rows of a named query as NamedTuples of `row_type`.

    Its fields are the query's columns in their order; tests/db/test_row_types.py compares them.
    """
    with translated_read_errors(), connection.cursor(row_factory=_maker(row_type)) as cursor:
        return cursor.execute(sql(name), params).fetchall()


def many_records(
    connection: Connection, name: str, row_type: type[Row], /, **params: object
) -> list[Row]:
    """Return `records` in the binary format of `many`, for thousands of rows."""
    with (
        translated_read_errors(),
        connection.cursor(row_factory=_maker(row_type), binary=True) as cursor,
    ):
        return cursor.execute(sql(name), params).fetchall()


def readable_records(
    connection: Connection, name: str, row_type: type[Row], /, **params: object
) -> tuple[list[Row], bool]:
    """Return `many_records`, with an `Unreadable` in each field whose value Python cannot hold, and
    whether there is such a field."""
    make: RowMaker[Row] = row_type._make  # type: ignore[attr-defined]  # every NamedTuple has it
    with (
        translated_read_errors(),
        connection.cursor(row_factory=_maker(row_type), binary=True) as cursor,
    ):
        cursor.execute(sql(name), params)
        try:
            return cursor.fetchall(), False
        except LOADER_ERRORS:
            return [make(row) for row in read_result(connection, cursor)], True


def record(
    connection: Connection, name: str, row_type: type[Row], /, **params: object
) -> Row | None:
    """Return the only row as a NamedTuple, or None. Raises DatabaseError for more than one."""
    answer = records(connection, name, row_type, **params)
    if len(answer) > 1:
        raise DatabaseError(f"query {name} gave {len(answer)} rows where at most one was expected")
    return answer[0] if answer else None


def column(connection: Connection, name: str, /, **params: object) -> list[Any]:
    """Return the first column of all rows."""
    with translated_read_errors():
        return [row[0] for row in connection.execute(sql(name), params)]


def rows(connection: Connection, name: str, /, **params: object) -> list[dict[str, Any]]:
    """Return all rows of a named query as dictionaries by column."""
    with translated_read_errors(), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql(name), params).fetchall()


def tuples(connection: Connection, name: str, /, **params: object) -> list[tuple[Any, ...]]:
    """Return all rows of a named query as tuples."""
    with translated_read_errors():
        return connection.execute(sql(name), params).fetchall()


def many(connection: Connection, name: str, /, **params: object) -> list[tuple[Any, ...]]:
    """Return all rows as tuples, in binary format: faster for thousands of rows.

    Only for columns of UUIDs, numbers, text, times, JSON, or arrays of these.
    """
    with translated_read_errors():
        return connection.execute(sql(name), params, binary=True).fetchall()


def readable(
    connection: Connection, name: str, /, **params: object
) -> tuple[list[tuple[Any, ...]], bool]:
    """Return `many`, with an `Unreadable` in place of each value that Python cannot hold, and
    whether there is such a value."""
    with translated_read_errors():
        cursor = connection.execute(sql(name), params, binary=True)
        try:
            return cursor.fetchall(), False
        except LOADER_ERRORS:
            return read_result(connection, cursor), True


def scalar(connection: Connection, name: str, /, **params: object) -> Any:
    """Return the first column of the first row, None without a row."""
    with translated_read_errors():
        row = connection.execute(sql(name), params).fetchone()
    return row[0] if row else None


def columns(row_type: type[Row], rows: Iterable[Row]) -> dict[str, list[object]]:
    """Return the fields of NamedTuples as lists by name: an array parameter per field."""
    fields: tuple[str, ...] = row_type._fields  # type: ignore[attr-defined]  # of every NamedTuple
    lists: list[list[object]] = [list(values) for values in zip(*rows, strict=True)]
    return dict(zip(fields, lists or [[] for _ in fields], strict=True))


def run(connection: Connection, name: str, /, **params: object) -> int:
    """Execute a named query and return the number of affected rows."""
    with translated_read_errors():
        return connection.execute(sql(name), params).rowcount


def _maker(row_type: type[Row]) -> Callable[[object], RowMaker[Row]]:
    make: RowMaker[Row] = row_type._make  # type: ignore[attr-defined]  # every NamedTuple has it
    return lambda _cursor: make


@lru_cache(maxsize=1)
def all_queries() -> dict[str, Query]:
    """Return all queries of sql/queries/ by name. Raises QueryFileInvalid."""
    return load(SQL_FOLDER / "queries")


def load(folder: Path) -> dict[str, Query]:
    """Return the queries of all .sql files in a folder.

    Raises QueryFileInvalid for a malformed file or a duplicate name.
    """
    loaded: dict[str, Query] = {}
    for path in sorted(folder.glob("*.sql")):
        for query in _parsed(path):
            if query.name in loaded:
                raise QueryFileInvalid(
                    f"query {query.name!r} is defined in {loaded[query.name].file}"
                    f" and in {query.file}"
                )
            loaded[query.name] = query
    return loaded


def _parsed(path: Path) -> list[Query]:
    blocks: list[tuple[str, list[str]]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        heading = _NAME.match(line)
        if heading:
            blocks.append((heading["name"], []))
        elif blocks:
            blocks[-1][1].append(line)
        elif line.strip() and not line.lstrip().startswith("--"):
            raise QueryFileInvalid(f"{path.name}, line {number}: SQL before the first `-- name:`")
    return [_query(name, lines, path.name) for name, lines in blocks]


def _query(name: str, lines: list[str], file: str) -> Query:
    if not _VALID.fullmatch(name):
        raise QueryFileInvalid(f"{file}: {name!r} is not a lower_case name")
    purpose: list[str] = []
    while lines and (lines[0].startswith("--") or not lines[0].strip()):
        purpose.append(lines.pop(0).lstrip("- ").strip())
    # Whole-line comments are removed: psycopg would look for parameters in them.
    body = "\n".join(line for line in lines if not line.lstrip().startswith("--")).strip()
    if not any(purpose):
        raise QueryFileInvalid(f"{file}: query {name!r} has no comment with its purpose")
    if not body:
        raise QueryFileInvalid(f"{file}: query {name!r} has no SQL")
    text = " ".join(line for line in purpose if line)
    # The leading comment shows the query's name in pg_stat_activity and in logged plans.
    return Query(name, text, f"/* drip: {name} */ {body.rstrip(';')}", file)
