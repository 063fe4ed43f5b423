"""The export has every row of the person, in every table and file, and none of others."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.privacy.catalog import TABLES
from drip_pipeline.engine.privacy.export import PersonData, person_data
from drip_pipeline.engine.privacy.request import erase
from drip_pipeline.errors import NotAllowed
from drip_pipeline.reports import person_export
from drip_pipeline.reports.person_export import file_of, person_page, write_export
from tests.conftest import own_database
from tests.engine.factories import NOW
from tests.engine.privacy.person import (
    AT_LAST,
    CANARIES,
    EMAIL,
    FIELD,
    IP,
    JANE,
    NAME,
    OTHER,
    PROPERTY,
    Traces,
    leave_traces,
)


@pytest.fixture
def traces(database: Database, server_url: str, tmp_path: Path) -> Iterator[Traces]:
    with own_database(server_url, "template0") as dagster:
        yield leave_traces(database, dagster, tmp_path / "home")


def exported(traces: Traces, who: str = EMAIL) -> PersonData:
    return person_data(traces.database, who, traces.scope, now=AT_LAST, actor=JANE)


def ids_of_person(traces: Traces) -> tuple[str, ...]:
    """What names the person in any row: its texts, and the ids of contact and enrollments."""
    with traces.database.transaction() as connection:
        enrollments = connection.execute(
            "SELECT id::text FROM campaign_enrollments WHERE contact_id = %s", [traces.contact_id]
        ).fetchall()
    return (*CANARIES, str(traces.contact_id), *(row for (row,) in enrollments))


def test_every_row_of_the_person_is_in_the_export(traces: Traces):
    """Compared with a dump: its lines that name the person, table by table."""
    texts, dump = ids_of_person(traces), traces.dumped()
    data = exported(traces)
    compared = set()
    for place, content in dump.items():
        lines = [line for line in content.splitlines() if any(t in line for t in texts)]
        table = "campaign_events" if place.startswith("campaign_events") else place
        if lines and table in TABLES and table != "event_inbox":
            assert len(data.tables[table]) == len(lines), table
            compared.add(table)
    assert len(compared) >= 16
    assert len(data.tables["event_inbox"]) == 4
    assert {name for name in data.tables if "/" in name} == {
        "archive/campaign_events-1", "archive/contact_events-1",
        "files/events.ndjson", "files/packed.ndjson.gz", "files/table.parquet",
    }  # fmt: skip
    for name in ("files/events.ndjson", "files/packed.ndjson.gz", "files/table.parquet"):
        assert len(data.tables[name]) == 4


def test_nothing_of_others_is_in_the_export(traces: Traces):
    text = orjson.dumps(exported(traces).tables).decode()
    assert [one for one in (OTHER, "kept-", str(traces.other_id)) if one in text] == []
    assert all(one in text for one in (EMAIL, NAME, IP, FIELD, PROPERTY))


def test_the_file_has_a_page_and_all_rows_and_only_its_owner_reads_it(
    traces: Traces, tmp_path: Path
):
    out = tmp_path / "zoe.zip"
    out.write_bytes(b"an earlier one")
    out.chmod(0o644)
    data = exported(traces)
    write_export(out, data)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(["index.html", *map(file_of, data.tables)])
        for name, rows in data.tables.items():
            assert orjson.loads(archive.read(file_of(name))) == orjson.loads(orjson.dumps(rows))
        page = archive.read("index.html").decode()
    assert NAME in page
    reader = Reader()
    reader.feed(page)
    assert reader.loaded == []
    assert reader.links == reader.ids
    with traces.database.transaction() as connection:
        actions = connection.execute(
            "SELECT actor, object_kind, object_id FROM operator_actions WHERE action = 'export'"
        ).fetchall()
    assert actions == [("Jane", "contact", traces.contact_id)]


class Reader(HTMLParser):
    """The links of a page to its sections, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            self.links.append((values["href"] or "").removeprefix("#"))
        if tag == "section" and values.get("id"):
            self.ids.append(values["id"] or "")
        if tag in ("script", "img", "link", "iframe") or "src" in values:
            self.loaded.append(tag)


def test_a_failed_write_leaves_the_earlier_file(
    traces: Traces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "zoe.zip"
    out.write_bytes(b"an earlier one")

    def fail(_person: PersonData) -> str:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(person_export, "person_page", fail)
    with pytest.raises(OSError, match=r"zoe\.zip"):
        write_export(out, exported(traces))
    assert out.read_bytes() == b"an earlier one"
    assert list(tmp_path.glob(".zoe*")) == []


def test_texts_are_shown_as_text_and_long_tables_are_cut():
    rows: list[dict[str, Any]] = [
        {"id": n, "name": "<script>alert(1)</script>", "note": None, "data": {"a": "<b>"}}
        for n in range(person_export.MOST_ROWS + 1)
    ]
    page = person_page(PersonData([], NOW, {"contact_events": rows, "files/a b'.ndjson": rows[:1]}))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "The first 200 of 201 rows" in page
    assert ">note<" not in page
    assert "data/files/a_b_.ndjson.json" in file_of("files/a b'.ndjson")


def test_who_is_not_stored_is_refused_and_who_is_erased_is_gone(traces: Traces):
    for who in ("nobody@example.org", str(uuid4())):
        with pytest.raises(NotAllowed, match="nothing is stored"):
            exported(traces, who)
    by_phone = exported(traces, "+1 (415) 555-0123")
    by_id = exported(traces, str(traces.contact_id))
    assert by_phone.tables.keys() == by_id.tables.keys()
    erase(traces.database, EMAIL, traces.scope, now=AT_LAST)
    with pytest.raises(NotAllowed, match="nothing is stored"):
        exported(traces)
