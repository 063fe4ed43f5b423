"""The landing folder: which files count, each once, whatever becomes of it."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import orjson
import pytest

from drip_pipeline.db.events.landed_files import LandedFile
from drip_pipeline.engine.events import landing_folder as landing
from drip_pipeline.engine.events.event_parser import NO_EVENT_NAME
from drip_pipeline.engine.events.landing_folder import (
    load_files,
    look,
    not_loaded,
    steady,
)
from drip_pipeline.errors import DatabaseUnavailable, NotFound
from tests.engine.events.incoming import LATER, mailed, rejects, rows, value
from tests.engine.factories import an_event


def put(folder: Path, name: str, *events: dict[str, object]) -> Path:
    """A file of these events."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in events))
    return path


def load_all(database, folder: Path, **options) -> list[LandedFile]:
    """Load what is not loaded yet."""
    left = not_loaded(database, look(folder))
    requested = {file.path: file.identity for file in left}
    return list(load_files(database, folder, requested, **({"now": LATER} | options)))


def test_unfinished_and_hidden_files_are_skipped(tmp_path):
    names = (
        "a.ndjson", "ses/b.gz", "ses/2026/c.parquet", "d.ndjson.part", "e.tmp", ".f.ndjson",
        "g.ndjson~", "_SUCCESS", ".hidden/h.ndjson", "i.ndjson.PART",
    )  # fmt: skip
    for name in names:
        put(tmp_path, name, {"a": 1})
    put(tmp_path, "empty.ndjson")
    (tmp_path / "link.ndjson").symlink_to(tmp_path / "a.ndjson")
    assert {file.path: file.provider for file in look(tmp_path)} == {
        "a.ndjson": "generic",
        "ses/b.gz": "ses",
        "ses/2026/c.parquet": "ses",
    }
    assert look(tmp_path / "not there") == []


def test_a_file_is_steady_if_two_scans_are_equal(tmp_path):
    path = put(tmp_path, "a.ndjson", {"a": 1})
    earlier = {file.path: file.identity for file in look(tmp_path)}
    assert steady(look(tmp_path), {}) == []
    assert steady(look(tmp_path), earlier) == look(tmp_path)
    with path.open("ab") as file:
        file.write(b"more")
    assert steady(look(tmp_path), earlier) == []


def test_a_file_is_loaded_once_and_again_only_when_it_has_changed(database, tmp_path):
    _, [one, other] = mailed(database, 2)
    first = an_event(1, "email_opened", message_id=one.message_id)
    path = put(tmp_path, "ses/a.ndjson", first, {"event_type": "non sense?"})
    [loaded] = load_all(database, tmp_path, run_id="run-1")
    assert (loaded.outcome, loaded.lines, loaded.accepted, loaded.duplicates) == ("loaded", 2, 1, 0)
    assert loaded.rejected == {NO_EVENT_NAME: 1}
    assert [(r[0], r[1]) for r in rejects(database)] == [("ses/a.ndjson", 2)]
    assert load_all(database, tmp_path) == []
    put(tmp_path, "ses/a.ndjson", first, an_event(2, "email_opened", message_id=other.message_id))
    os.utime(path, ns=(1, 1))
    [again] = load_all(database, tmp_path)
    assert (again.accepted, again.duplicates) == (1, 1)
    assert rows(database, "SELECT path, provider, lines, run_id FROM landed_files ORDER BY id") == [
        ("ses/a.ndjson", "ses", 2, "run-1"),
        ("ses/a.ndjson", "ses", 2, None),
    ]


def test_a_renamed_copy_adds_only_its_row_in_landed_files(database, tmp_path):
    _, [sent] = mailed(database)
    event = an_event(1, "email_opened", message_id=sent.message_id)
    put(tmp_path, "ses/a.ndjson", event)
    put(tmp_path, "ses/b.ndjson", event)
    put(tmp_path, "other/a.ndjson", event)
    done = {file.path: (file.accepted, file.duplicates) for file in load_all(database, tmp_path)}
    # The other provider's ids are its own.
    assert done == {"ses/a.ndjson": (1, 0), "ses/b.ndjson": (0, 1), "other/a.ndjson": (1, 0)}
    assert value(database, "SELECT open_count FROM campaign_message_outcomes") == 2


def test_a_damaged_file_is_reported_by_name_and_blocks_no_other(database, tmp_path):
    _, sent = mailed(database, 2)
    whole = b"".join(
        orjson.dumps(an_event(n, "email_opened", message_id=s.message_id)) + b"\n"
        for n, s in enumerate(sent)
    )
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress(whole)[:-9])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and nothing else")
    os.utime(tmp_path / "a.ndjson.gz", ns=(1, 1))
    os.utime(tmp_path / "b.parquet", ns=(2, 2))
    put(tmp_path, "c.ndjson", an_event(7, "email_clicked", message_id=sent[0].message_id))
    done = load_all(database, tmp_path)
    assert [(file.path, file.outcome, file.accepted) for file in done] == [
        ("a.ndjson.gz", "unreadable", 0),
        ("b.parquet", "unreadable", 0),
        ("c.ndjson", "loaded", 1),
    ]
    assert done[0].error == "the compressed file is damaged"
    assert "not readable as Parquet" in (done[1].error or "")
    assert load_all(database, tmp_path) == []


def test_an_error_of_the_engine_is_reported_without_quoting_a_line(database, tmp_path, monkeypatch):
    put(tmp_path, "a.ndjson", {"a": 1})
    monkeypatch.setattr(landing, "ingest_lines", _raising(KeyError("ann@example.com")))
    [loaded] = load_all(database, tmp_path)
    assert (loaded.outcome, loaded.error) == ("failed", "KeyError")


@pytest.mark.parametrize("error", [DatabaseUnavailable("gone"), NotFound("workspace", "x")])
def test_a_database_error_leaves_the_file_for_the_next_run(database, tmp_path, monkeypatch, error):
    put(tmp_path, "a.ndjson", {"a": 1})
    if isinstance(error, DatabaseUnavailable):
        monkeypatch.setattr(landing, "ingest_lines", _raising(error))
    with pytest.raises(type(error)):
        load_all(database, tmp_path, workspace="x" if isinstance(error, NotFound) else None)
    assert value(database, "SELECT count(*) FROM landed_files") == 0


def test_a_file_that_changed_since_the_scan_is_skipped(database, tmp_path):
    put(tmp_path, "a.ndjson", {"a": 1})
    requested = {"a.ndjson": "1:1", "../outside.ndjson": "1:1"}
    assert list(load_files(database, tmp_path, requested, now=LATER)) == []


def _raising(error: Exception):
    def ingest_lines(*_args, **_options):
        raise error

    return ingest_lines
