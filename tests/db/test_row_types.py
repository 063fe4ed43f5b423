"""The fields of each row type are the columns of its query, in their order.

The pairs are read from the product code: every call of `queries.records`, `many_records` or
`record` names both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from psycopg import sql

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.settings import CHECKOUT
from tests.db.test_queries import PREPARABLE, body, migrated, numbered, temporary_tables_beside

__all__ = ["migrated"]

PACKAGE = CHECKOUT / "drip_pipeline" / "db"
TYPED = {"records", "many_records", "readable_records", "record"}


def typed_calls() -> Iterator[tuple[str, str, str]]:
    """(module, query, row type) of every typed call in db/."""
    for path in sorted(PACKAGE.glob("**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="queries"), attr=attr),
                    args=[_, ast.Constant(value=str(query)), ast.Name(id=row_type)],
                ) if attr in TYPED:
                    yield module_of(path), query, row_type
                case ast.Call(func=ast.Attribute(value=ast.Name(id="queries"), attr=attr)) if (
                    attr in TYPED
                ):
                    raise AssertionError(
                        f"{path.name}:{node.lineno}: name the query and its row type literally"
                    )


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)


def columns_of(database: Database, query: queries.Query) -> tuple[str, ...]:
    """The names of the columns that a query returns, from its prepared form."""
    assert PREPARABLE.match(body(query)), f"{query.name} cannot be prepared"
    with database.transaction() as connection:
        for other in temporary_tables_beside(query):
            connection.execute(sql.SQL(numbered(other.text)))
        connection.execute(sql.SQL("PREPARE described AS ") + sql.SQL(numbered(query.text)))
        result = connection.pgconn.describe_prepared(b"described")
        names = tuple((result.fname(n) or b"").decode() for n in range(result.nfields))
        connection.execute("DEALLOCATE described")
        connection.rollback()
    return names


@pytest.mark.parametrize(("module", "query", "row_type"), sorted(set(typed_calls())))
def test_a_row_type_has_the_columns_of_its_query(migrated: Database, module, query, row_type):
    fields = getattr(import_module(module), row_type)._fields
    assert columns_of(migrated, queries.all_queries()[query]) == fields


def test_a_claimed_state_has_the_columns_of_the_claim_and_then_its_due_time(migrated: Database):
    columns = columns_of(migrated, queries.all_queries()["claim_states"])
    assert columns == (*DueState._fields, "next_execution_at")
