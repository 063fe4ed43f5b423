"""Columns of a batch, written in binary in one go, are read by the database as what they were."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.db.binary_arrays import (
    Column,
    integers,
    random_uuids,
    texts,
    unless_empty,
    uuids,
)
from drip_pipeline.db.connection import Database


@pytest.fixture(scope="module")
def kept_database(server_url: str) -> Iterator[Database]:
    with Database(server_url) as database:
        yield database


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def _read(database: Database, column: Column, type_: str) -> list[object]:
    with database.transaction() as connection:
        row = connection.execute(f"SELECT CAST(%s AS {type_} [])", [column]).fetchone()
    assert row is not None
    return list(row[0])


@settings(max_examples=40)
@given(
    st.lists(st.uuids() | st.none()),
    st.lists(st.integers(-(2**31), 2**31 - 1)),
    st.lists(_TEXT | st.none()),
)
def test_columns_read_back_equal(
    kept_database: Database,
    ids: list[UUID | None],
    numbers: list[int],
    words: list[str | None],
) -> None:
    assert _read(kept_database, uuids(ids), "uuid") == ids
    assert _read(kept_database, integers(numbers), "integer") == numbers
    assert _read(kept_database, texts(words), "text") == words


def test_registered_columns_do_not_change_how_lists_are_written(
    kept_database: Database,
) -> None:
    with kept_database.transaction() as connection:
        connection.execute("SELECT CAST(%s AS text [])", [texts(["first"])])
        row = connection.execute("SELECT CAST(%s AS text [])", [["a", None]]).fetchone()
    assert row == (["a", None],)


def test_random_ids_are_distinct_and_of_version_4(kept_database: Database) -> None:
    ids = [UUID(str(id_)) for id_ in _read(kept_database, random_uuids(3_000), "uuid")]
    assert len(set(ids)) == 3_000
    assert {(id_.version, id_.variant) for id_ in ids} == {(4, RFC_4122)}
    # Every bit but those of version and variant is now 0 and now 1.
    changing = [
        any((id_.int >> bit & 1) != (ids[0].int >> bit & 1) for id_ in ids) for bit in range(128)
    ]
    assert changing.count(False) == 6
    assert _read(kept_database, random_uuids(0), "uuid") == []


def test_a_column_of_nulls_may_be_empty(kept_database: Database) -> None:
    assert unless_empty([None, None]) == ()
    assert unless_empty([None, "a"]) == [None, "a"]
    with kept_database.transaction() as connection:
        rows = connection.execute(
            "SELECT * FROM unnest(CAST(%s AS text []), CAST(%s AS text [])) AS r (a, b)",
            [texts(["x", "y"]), texts(unless_empty([None, None]))],
        ).fetchall()
    assert rows == [("x", None), ("y", None)]
