"""Reading files of events: formats, bad lines, damaged files."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drip_pipeline.engine.events.ingest import ingest_file
from drip_pipeline.errors import ImportFileError
from tests.engine.events.incoming import LATER, ingest, mailed, rejects, rows
from tests.engine.factories import (
    NOW,
    an_event,
)


def as_ndjson(events: list[dict[str, Any]]) -> bytes:
    return b"\n".join(map(orjson.dumps, events)) + b"\n"


def test_ndjson_gzip_and_parquet_give_the_same_events(database, tmp_path):
    _, sent = mailed(database, 3)
    events = [
        an_event(n, "email_clicked", message_id=s.message_id, url="https://example.com/", data={})
        for n, s in enumerate(sent)
    ]
    (tmp_path / "a.ndjson").write_bytes(as_ndjson(events))
    (tmp_path / "b.gz").write_bytes(gzip.compress(as_ndjson(events)))
    columns = {name: [event[name] for event in events] for name in events[0]}
    columns["occurred_at"] = [datetime.fromisoformat(text) for text in columns["occurred_at"]]
    columns["data"] = ['{"button": "top"}'] * 3
    pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    for provider, name in enumerate(("a.ndjson", "b.gz", "c.parquet")):
        report = ingest_file(database, tmp_path / name, now=LATER, provider=str(provider))
        assert (report.source, report.accepted) == (name, 3)
    assert rows(
        database,
        "SELECT count(*), count(DISTINCT created_at), count(DISTINCT event_data ->> 'url') "
        "FROM campaign_events WHERE event_type = 'email_clicked'",
    ) == [(9, 1, 1)]


def test_rejected_lines_of_a_file_are_stored_with_number_and_raw_text(database, tmp_path):
    _, [sent] = mailed(database)
    good = orjson.dumps(an_event(1, "email_opened", message_id=sent.message_id))
    path = tmp_path / "mixed.ndjson"
    broken = [
        b"\xef\xbb\xbf" + good,
        b"",
        b"{oops",
        b"[1]",
        b"\xff\xfe",
        b"  ",
        b'{"a": "\\ud800"}',
    ]
    path.write_bytes(b"\r\n".join(broken))
    report = ingest_file(database, path, now=LATER)
    assert report.accepted == 1
    assert report.lines == 5
    assert [row[:3] for row in rejects(database)] == [
        ("mixed.ndjson", 3, "the line is not JSON"),
        ("mixed.ndjson", 4, "the line is not a JSON object"),
        ("mixed.ndjson", 5, "the line is not JSON"),
        ("mixed.ndjson", 7, "the line is not JSON"),
    ]
    assert rejects(database)[0][3].strip() == "{oops"


def test_a_line_without_end_does_not_fill_the_memory(database, tmp_path):
    _, [sent] = mailed(database)
    good = orjson.dumps(an_event(1, "email_opened", message_id=sent.message_id))
    path = tmp_path / "huge.ndjson"
    path.write_bytes(good + b"\n" + b"x" * 10_000_000 + b"\n" + good.replace(b"e-1", b"e-2"))
    report = ingest_file(database, path, now=LATER)
    assert (report.accepted, report.rejected) == (2, {"the line is longer than 32 kB": 1})
    [(_, number, _, raw)] = rejects(database)
    assert number == 2
    assert len(raw) <= 64_000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PAR1 is not all it takes", "not readable as Parquet"),
        (gzip.compress(b"{}" * 9999, mtime=0)[:-20], "damaged"),
        (b"\x1f\x8b\x08\x00 no gzip at all", "damaged"),
    ],
)
def test_an_unreadable_file_is_an_error_with_its_name(database, tmp_path, content, problem):
    path = tmp_path / "events.bin"
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match=problem) as caught:
        ingest_file(database, path, now=LATER)
    assert "events.bin" in str(caught.value)


def test_a_missing_file_is_an_error_with_its_name(database, tmp_path: Path):
    with pytest.raises(ImportFileError, match=r"nothing\.ndjson"):
        ingest_file(database, tmp_path / "nothing.ndjson", now=LATER)


def test_parquet_rows_are_kept_as_json_when_they_are_rejected(database, tmp_path):
    table = pa.table({"event_id": ["1"], "event_type": ["opened"], "occurred_at": [NOW]})
    pq.write_table(table, tmp_path / "x.parquet")
    ingest_file(database, tmp_path / "x.parquet", now=LATER)
    [(_, number, reason, raw)] = rejects(database)
    assert (number, reason) == (1, "neither message_id nor email is given")
    assert orjson.loads(raw)["event_type"] == "opened"


def test_texts_with_tabs_and_backslashes_are_unchanged(database):
    _, [sent] = mailed(database)
    nasty = "tab\there, line\nend, back\\slash, \\N, \\. and \\u0000"
    event = an_event(
        1, "email_opened", message_id=sent.message_id, user_agent=nasty, data={"note": nasty}
    )
    assert ingest(database, [event]).accepted == 1
    assert rows(
        database,
        "SELECT user_agent, event_data ->> 'note' FROM campaign_events "
        "WHERE event_type = 'email_opened'",
    ) == [(nasty, nasty)]
