"""Fuzz target: files of contacts. What is imported can be read back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from drip_pipeline.db.connection import Database
from drip_pipeline.db.enrollment.enrollments import contacts_after
from drip_pipeline.db.execution.batch_context import contact_attributes
from drip_pipeline.engine.contacts.import_contacts import import_contacts
from drip_pipeline.errors import DripError
from tests.conftest import own_database
from tests.engine.factories import NOW
from tests.fuzz.hostile import FUZZ, cases, damaged, noise, number, text

CASES_PER_WORKSPACE = 50
CSV = (
    b"email,name,company,phone,tags,lead_score,last_interaction,unsubscribed,plan,custom_fields\n"
    b'ada@example.com,Ada Lovelace,Engines,+49 170 1234567,"a,b",70,2026-03-01T10:00:00Z,no,gold,'
    b'"{""a"": 1}"\n'
    b'bob@example.com,"Bob ""B""\nSmith",,,vip,5,2026-03-01,yes,1.50,\n'
)
HEADERS = ("email", "name", "tags", "lead_score", "last_interaction", "plan", "custom_fields")
JSON_CELLS = (
    '{"x": 1e400}',
    '{"a":' * 1_500 + "1" + "}" * 1_500,
    '{"a": "\\u0000"}',
)


def cell(random: Random) -> str:
    """Return a cell of a CSV file."""
    return random.choice([text(random), str(number(random)), random.choice(JSON_CELLS)])


def table(random: Random) -> bytes:
    """Return a CSV file with hostile cells."""
    rows = [",".join(HEADERS)]
    for row in range(random.randrange(1, 4)):
        cells = [f"p{row}@example.com", *(cell(random) for _ in HEADERS[1:])]
        rows.append(",".join('"' + content.replace('"', '""') + '"' for content in cells))
    return "\n".join(rows).encode("utf-8", "surrogatepass")


def parquet() -> bytes:
    """A small Parquet file of contacts."""
    contacts = pa.table(
        {
            "email": ["ada@example.com", None],
            "name": ["Ada", "Bob"],
            "ai_score": pa.array([5, None], pa.int64()),
            "last_interaction": pa.array([0, 2**62], pa.timestamp("us", "UTC")),
            "tags": [["a"], None],
            "price": pa.array([1.5, float("inf")]),
            "day": pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32()),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(contacts, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def empty(server_url: str, template: str) -> Iterator[Database]:
    """A database for all cases."""
    with own_database(server_url, template) as database:
        yield database


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contacts")


numbers = count()
PARQUET = parquet()


def file(random: Random) -> bytes:
    """Return the bytes of a file."""
    match random.randrange(10):
        case 0:
            return noise(random)
        case n if n < 5:
            return table(random)
        case n if n < 8:
            return damaged(random, [CSV])
        case _:
            return damaged(random, [PARQUET])


@FUZZ
@given(raw=cases(file))
def test_contacts_file(empty: Database, folder: Path, raw: bytes) -> None:
    case = next(numbers)
    path = folder / "people.csv"
    path.write_bytes(raw)
    workspace = f"workspace {case // CASES_PER_WORKSPACE}"
    try:
        report = import_contacts(empty, path, now=NOW, workspace=workspace)
    except DripError as error:
        assert_no_defect(error)
        return
    with empty.transaction() as connection:
        ids: Any = contacts_after(
            connection, report.workspace_id, after=None, chunk_size=10_000, tag=None
        )
        assert contact_attributes(connection, ids).unreadable == {}


def assert_no_defect(error: DripError) -> None:
    """An error of the database is not one of the file: the reader should have found it."""
    assert type(error).__module__ == "drip_pipeline.errors"
    assert "Database" not in type(error).__name__
