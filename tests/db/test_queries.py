from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from psycopg import sql

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Database
from drip_pipeline.errors import DatabaseError, SchemaMismatch
from drip_pipeline.settings import CHECKOUT

PACKAGE = CHECKOUT / "drip_pipeline" / "db"
# psycopg's placeholders, and its escaped percent sign.
PLACEHOLDER = re.compile(r"%%|%\((?P<name>\w+)\)[sbt]")
PREPARABLE = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|MERGE|VALUES|WITH)\b", re.IGNORECASE)


class Pair(NamedTuple):
    n: int
    s: str


def numbered(text: str) -> str:
    """The query with PostgreSQL's own parameters, `$1` for the first name and so on."""
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "%"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return PLACEHOLDER.sub(replace, text)


def body(query: queries.Query) -> str:
    return query.text.partition("*/")[2].strip()


def temporary_tables_beside(query: queries.Query) -> list[queries.Query]:
    """The queries of the same file that create the temporary tables it may refer to."""
    return [
        other
        for other in queries.all_queries().values()
        if other.file == query.file
        and other.name != query.name
        and re.match(r"CREATE TEMP(ORARY)? TABLE|SELECT create_\w+\(\)", body(other), re.IGNORECASE)
    ]


@pytest.fixture(scope="module")
def migrated(server_url, template):
    """One migrated database for all queries: preparing changes nothing."""
    from tests.conftest import own_database

    with own_database(server_url, template) as database:
        yield database


@pytest.mark.parametrize("name", sorted(queries.all_queries()))
def test_every_query_fits_the_migrated_schema(migrated: Database, name):
    query = queries.all_queries()[name]
    statement = body(query)
    with migrated.transaction() as connection:
        for other in temporary_tables_beside(query):
            connection.execute(sql.SQL(numbered(other.text)))
        if PREPARABLE.match(statement):
            connection.execute(sql.SQL("PREPARE checked AS ") + sql.SQL(numbered(query.text)))
            connection.execute("DEALLOCATE checked")
        else:
            assert "%(" not in statement, "a statement that cannot be prepared has no parameters"
            connection.execute(sql.SQL(numbered(query.text)))
        connection.rollback()


@pytest.mark.parametrize("name", sorted(queries.all_queries()))
def test_every_query_has_a_caller(name):
    spoken = re.compile(rf"""["']{name}["']""")
    assert any(spoken.search(path.read_text(encoding="utf-8")) for path in PACKAGE.glob("**/*.py"))


def test_numbering_keeps_one_number_per_name():
    assert numbered("%(b)s + %(a)s + %(b)s LIKE '%%x'") == "$1 + $2 + $1 LIKE '%x'"


def test_results_are_records_tuples_a_column_a_scalar_or_a_count(database, monkeypatch):
    text = {
        "pair": "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) t (n, s) WHERE n <= %(most)s ORDER BY n",
        "fill": "CREATE TEMPORARY TABLE filled AS SELECT * FROM generate_series(1, 3)",
    }
    found = {name: queries.Query(name, "A test.", body, "t.sql") for name, body in text.items()}
    monkeypatch.setattr(queries, "all_queries", lambda: found)
    with database.transaction() as connection:
        assert queries.rows(connection, "pair", most=2) == [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}]
        assert queries.tuples(connection, "pair", most=1) == [(1, "a")]
        assert queries.many(connection, "pair", most=1) == [(1, "a")]
        assert queries.column(connection, "pair", most=2) == [1, 2]
        assert queries.records(connection, "pair", Pair, most=1) == [Pair(n=1, s="a")]
        assert queries.many_records(connection, "pair", Pair, most=1) == [Pair(n=1, s="a")]
        assert queries.record(connection, "pair", Pair, most=1) == Pair(n=1, s="a")
        assert queries.record(connection, "pair", Pair, most=0) is None
        assert queries.scalar(connection, "pair", most=2) == 1
        assert queries.scalar(connection, "pair", most=0) is None
        assert queries.run(connection, "fill") == 3
        with pytest.raises(DatabaseError, match="pair gave 2 rows"):
            queries.record(connection, "pair", Pair, most=2)


def test_a_query_on_an_unmigrated_database_hints_at_migrating(empty_database, monkeypatch):
    found = {"lost": queries.Query("lost", "A test.", "SELECT * FROM contacts", "t.sql")}
    monkeypatch.setattr(queries, "all_queries", lambda: found)
    with pytest.raises(SchemaMismatch) as caught, empty_database.transaction() as connection:
        queries.rows(connection, "lost")
    assert "drip db migrate" in caught.value.hint
