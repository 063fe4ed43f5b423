from __future__ import annotations

from pathlib import Path

import pytest

from drip_pipeline.db import queries
from drip_pipeline.errors import QueryFileInvalid, QueryNotFound


def loaded(folder: Path, **files: str) -> dict[str, queries.Query]:
    for name, text in files.items():
        (folder / f"{name}.sql").write_text(text, encoding="utf-8")
    return queries.load(folder)


def test_queries_are_found_by_name_with_their_purpose(tmp_path):
    text = (
        "-- About the file.\n\n-- name: first\n-- Counts what\n-- there is.\n"
        "SELECT 1 -- inline\n-- 50% of it\nFROM t;\n\n-- name: second\n-- Two.\nSELECT 2\n"
    )
    found = loaded(tmp_path, a=text)
    assert list(found) == ["first", "second"]
    assert found["first"].purpose == "Counts what there is."
    assert found["first"].text == "/* drip: first */ SELECT 1 -- inline\nFROM t"
    assert found["second"].file == "a.sql"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1", "before the first"),
        ("-- name: x\nSELECT 1", "has no comment with its purpose"),
        ("-- name: x\n-- Why.\n", "has no SQL"),
        ("-- name: Bad-Name\n-- Why.\nSELECT 1", "not a lower_case name"),
        ("-- name: x\n-- Why.\nSELECT 1;\n-- name: x\n-- Why.\nSELECT 2", "is defined in"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, text, complaint):
    with pytest.raises(QueryFileInvalid, match=complaint):
        loaded(tmp_path, a=text)


def test_a_name_used_in_two_files_is_refused(tmp_path):
    text = "-- name: x\n-- Why.\nSELECT 1"
    with pytest.raises(QueryFileInvalid, match=r"defined in a\.sql and in b\.sql"):
        loaded(tmp_path, a=text, b=text)


def test_an_unknown_name_is_named():
    with pytest.raises(QueryNotFound, match="no_such_query"):
        queries.sql("no_such_query")
