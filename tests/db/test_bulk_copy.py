from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.db.bulk_copy import copy_rows
from drip_pipeline.errors import ConstraintViolated, DataRejected

COLUMNS = ["id", "n", "at", "name", "tags", "data"]
TYPES = ["uuid", "int8", "timestamptz", "text", "text[]", "jsonb"]
CREATE = (
    "CREATE TEMPORARY TABLE t"
    " (id uuid, n int8, at timestamptz, name text, tags text[], data jsonb) ON COMMIT DROP"
)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
ROWS = st.lists(
    st.tuples(
        st.uuids(),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.integers(-(10**9), 10**9).map(lambda s: EPOCH + timedelta(seconds=s, microseconds=1)),
        st.none() | TEXT,
        st.lists(TEXT, max_size=3),
        st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-99, 99) | TEXT, max_size=3),
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def kept_database(server_url):
    from drip_pipeline.db.connection import Database

    with Database(server_url) as database:
        yield database


@pytest.mark.parametrize("types", [None, TYPES], ids=["text", "binary"])
@given(rows=ROWS)
@settings(max_examples=40)
def test_what_is_copied_in_reads_back_equal(kept_database, types, rows):
    with kept_database.transaction() as connection:
        connection.execute(CREATE)
        assert copy_rows(connection, "t", COLUMNS, rows, types=types) == len(rows)
        found = connection.execute("SELECT id, n, at, name, tags, data FROM t").fetchall()
    assert found == rows


def test_identifiers_are_quoted(empty_database):
    with empty_database.transaction() as connection:
        connection.execute('CREATE SCHEMA "odd one"; CREATE TABLE "odd one"."t""; --" ("a b" int)')
        assert copy_rows(connection, 'odd one.t"; --', ["a b"], [[1], [2]]) == 2
        assert connection.execute('SELECT sum("a b") FROM "odd one"."t""; --"').fetchone() == (3,)


def test_a_rejected_row_raises_a_translated_error(empty_database):
    with empty_database.transaction() as connection:
        connection.execute("CREATE TABLE t (id uuid PRIMARY KEY)")
    same = uuid.uuid4()
    with pytest.raises(ConstraintViolated), empty_database.transaction() as connection:
        copy_rows(connection, "t", ["id"], [[same], [same]])
    with pytest.raises(DataRejected), empty_database.transaction() as connection:
        copy_rows(connection, "t", ["id"], [["nobody@example.com"]])
