"""Parquet files that are damaged or hold what contacts cannot have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drip_pipeline.engine.contacts.file_formats import open_contact_file
from drip_pipeline.errors import ImportFileError
from tests.engine.contacts.import_files import contacts, imported, rejected_cells

LATE = pa.array([1 << 60, 0, None], pa.int64()).cast(pa.timestamp("us", tz="UTC"))


@pytest.mark.parametrize(
    "values",
    [
        pa.array([b"x", None, None], pa.binary()),
        pa.array([timedelta(1), None, None], pa.duration("s")),
        pa.array([[b"x"], None, None], pa.list_(pa.binary())),
        pa.array([[("a", 1)], None, None], pa.map_(pa.string(), pa.int64())),
        pa.array([{"a": b"x"}, None, None], pa.struct([("a", pa.binary())])),
    ],
    ids=lambda values: str(values.type),
)
def test_a_column_of_an_unsupported_type_is_named_and_can_be_skipped(database, tmp_path, values):
    table = pa.table({"email": [f"p{n}@example.com" for n in range(3)], "odd": values})
    path = tmp_path / "people.parquet"
    pq.write_table(table, path)
    with pytest.raises(ImportFileError, match="column 'odd' has the type") as caught:
        imported(database, path)
    assert "--map 'odd'=" in caught.value.hint
    assert contacts(database) == []
    assert imported(database, path, renames={"odd": ""}).inserted == 3


def test_values_that_cannot_be_read_back_cost_only_their_cell(database, tmp_path):
    table = pa.table(
        {
            "email": [f"p{n}@example.com" for n in range(3)],
            "last_interaction": LATE,
            "seen": LATE,
            "big": pa.array([2**64 - 1, 1, None], pa.uint64()),
            "amount": pa.array([Decimal("1e30"), Decimal("1.5"), None], pa.decimal128(38, 2)),
            "nested": pa.array([["x"], None, None]),
            "kind": pa.array(["a", "b", None]).dictionary_encode(),
            "custom_fields": ['{"x": 1e400}', "[" * 2_000, '{"x": ' + "1" * 5_000 + "}"],
        }
    )
    path = tmp_path / "people.parquet"
    pq.write_table(table, path)
    report = imported(database, path)
    assert report.inserted == 3
    fields = contacts(database, "custom_fields")
    assert fields[0] == {"nested": ["x"], "kind": "a"}
    assert fields[1] | {"seen": ""} == {"seen": "", "big": 1, "amount": 1.5, "kind": "b"}
    assert fields[2] == {}
    assert {cell[:3] for cell in rejected_cells(database)} >= {
        (1, "seen", "invalid_value"),
        (1, "big", "invalid_value"),
        (1, "amount", "invalid_value"),
        (1, "last_interaction", "invalid_value"),
        (1, "custom_fields", "invalid_custom_fields"),
        (2, "custom_fields", "invalid_custom_fields"),
        (3, "custom_fields", "invalid_custom_fields"),
    }


@pytest.mark.parametrize(
    "cell",
    [
        '{"x": 1e400}',
        '{"x": NaN}',
        '{"x": ' + "1" * 5_000 + "}",
        '{"x": 12345678901234567890123}',
        '{"x": ' + "[" * 2_000 + "]" * 2_000 + "}",
        '{"x": ' + "[" * 61 + "]" * 61 + "}",
        "[" * 100_000,
        '{"x": "a\\u0000"}',
        '{"x": "\\ud800"}',
        "[1]",
        "{",
    ],
    ids=lambda cell: cell[:20],
)
def test_json_that_cannot_be_read_back_is_set_aside(database, tmp_path, cell):
    path = tmp_path / "people.csv"
    quoted = cell.replace('"', '""')
    path.write_text(f'email,custom_fields,plan\na@example.com,"{quoted}",pro\n', encoding="utf-8")
    imported(database, path)
    assert contacts(database, "custom_fields") == [{"plan": "pro"}]
    assert [row[1] for row in rejected_cells(database)] == ["custom_fields"]


def _a_file() -> bytes:
    table = pa.table(
        {
            "email": [f"p{n}@example.com" for n in range(500)],
            "visits": list(range(500)),
            "at": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(n) for n in range(500)],
        }
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    return bytes(buffer.getvalue())


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.floats(0, 1, exclude_max=True), junk=st.binary(min_size=1, max_size=40), cut=st.booleans()
)
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path, at, junk, cut):
    content: Any = _FILE
    position = 4 + int(at * (len(content) - 4))
    damaged = content[:position] + (b"" if cut else junk + content[position + len(junk) :])
    path = tmp_path / "people.parquet"
    path.write_bytes(damaged)
    try:
        for _ in open_contact_file(path).lines():
            pass
    except ImportFileError:
        pass


_FILE = _a_file()
