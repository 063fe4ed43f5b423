"""`drip events`: import from files and folders, and the lists of files and rejected lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drip_pipeline.engine.events.event_parser import NO_EVENT_NAME
from drip_pipeline.settings import CHECKOUT
from tests.cli.conftest import Drip, answered

NOW = "2026-03-02T09:00:00+00:00"
ONBOARDING = str(CHECKOUT / "examples" / "onboarding.yaml")


def event(number: int, **fields: str) -> str:
    line = {
        "event_id": f"e-{number}",
        "event_type": "email_clicked",
        "occurred_at": "2026-03-02T10:00:00+00:00",
        "email": "ann@example.com",
        "campaign": "Onboarding",
    }
    return json.dumps(line | fields)


@pytest.fixture
def events_file(drip: Drip, tmp_path: Path) -> Path:
    """Return a file with a click on a sent email, the same click again, and an invalid line."""
    people = tmp_path / "people.csv"
    people.write_text("email,name\nann@example.com,Ann\n", encoding="utf-8")
    answered(drip("contacts", "import", people, "--now", NOW, "--json"))
    answered(drip("campaign", "publish", ONBOARDING, "--now", NOW, "--json"))
    answered(drip("enroll", "Onboarding", "--all", "--now", NOW, "--json"))
    answered(drip("run", "--until-idle", "--now", NOW, "--json"))
    path = tmp_path / "events.ndjson"
    lines = [event(1), event(1), event(2, event_type="email danced!")]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_events_are_imported_once_and_rejected_lines_are_reported(drip, events_file, database):
    report = answered(drip("events", "ingest", events_file, "--now", NOW, "--json"))
    assert (report["lines"], report["accepted"], report["duplicates"]) == (3, 1, 1)
    assert sum(report["rejected"].values()) == 1
    again = drip("events", "ingest", events_file, "--now", NOW)
    assert "0 new events, 2 duplicates" in again.stdout
    assert "rejected (saved to rejected_events)" in again.stdout
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT count(*) FROM campaign_message_outcomes WHERE first_clicked_at IS NOT NULL"
        ).fetchone()
    assert row == (1,)


def test_names_of_own_events_are_listed_with_their_properties(drip, events_file):
    assert "no event with an own name" in drip("events", "types").stdout
    line = {"occurred_at": NOW, "email": "ann@example.com", "event_type": "report.created"}
    lines = [line | {"event_id": n, "data": {"pages": n, "title": "Q1"}} for n in (1, 2)]
    events_file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert answered(drip("events", "ingest", events_file, "--json"))["accepted"] == 2
    (row,) = answered(drip("events", "types", "--workspace", "default", "--json"))
    assert (row["event_type"], row["events"]) == ("report.created", 2)
    assert row["properties"] == {"pages": "number", "title": "string"}
    text = drip("events", "types").stdout
    assert "report.created (default): 2 events, 2026-03-02 09:00+00:00" in text
    assert "pages number, title string" in text
    assert "Q1" not in drip("events", "types", "--json").stdout
    assert drip("events", "types", "--workspace", "Nowhere").exit_code == 1


def test_event_ids_are_unique_per_provider_only(drip, events_file):
    first = answered(drip("events", "ingest", events_file, "--provider", "one", "--json"))
    second = answered(drip("events", "ingest", events_file, "--provider", "two", "--json"))
    assert (first["accepted"], second["accepted"]) == (1, 1)


def test_a_missing_file_is_reported_by_name(drip):
    result = drip("events", "ingest", "missing.ndjson")
    assert result.exit_code == 1
    assert "missing.ndjson" in result.stderr


def test_each_file_of_a_folder_is_loaded_once(drip, events_file, tmp_path, monkeypatch):
    monkeypatch.setattr("drip_pipeline.cli.events.SECONDS_BETWEEN_LISTINGS", 0.0)
    folder = tmp_path / "landing"
    (folder / "ses").mkdir(parents=True)
    events_file.rename(folder / "ses" / "monday.ndjson")
    (folder / "half.ndjson.part").write_text("{", encoding="utf-8")
    (report,) = answered(drip("events", "ingest", folder, "--now", NOW, "--json"))
    assert (report["path"], report["provider"], report["accepted"]) == (
        "ses/monday.ndjson",
        "ses",
        1,
    )
    assert "no new files" in drip("events", "ingest", folder).stdout
    (listed,) = answered(drip("events", "files", "--json"))
    assert (listed["path"], listed["outcome"], listed["lines"]) == (
        "ses/monday.ndjson",
        "loaded",
        3,
    )
    (folder / "bad.parquet").write_bytes(b"PAR1 and nothing else")
    bad = drip("events", "ingest", folder, "--now", NOW)
    assert bad.exit_code == 1
    assert "bad.parquet" in bad.stdout
    assert drip("events", "ingest", folder, "--provider", "x").exit_code == 2


def test_rejected_lines_are_counted_by_file_and_reason(drip, events_file):
    assert "no rejected lines" in drip("events", "rejected").stdout
    events_file.write_text("{\n[]\n[1]\n", encoding="utf-8")
    report = answered(drip("events", "ingest", events_file, "--now", NOW, "--json"))
    rows = answered(drip("events", "rejected", "--json"))
    assert {row["reason"]: row["lines"] for row in rows} == report["rejected"]
    assert {row["source"] for row in rows} == {events_file.name}
    assert answered(drip("events", "rejected", "--source", "other", "--json")) == []


def test_rejected_lines_are_imported_again(drip: Drip, events_file: Path):
    answered(drip("events", "ingest", events_file, "--now", NOW, "--json"))
    (row,) = answered(drip("events", "rejected", "--json"))
    assert (row["reason"], row["lines"]) == (NO_EVENT_NAME, 1)
    report = answered(drip("events", "rejected", "--retry", "--now", NOW, "--json"))
    assert (report["lines"], report["accepted"], report["rejected"]) == (1, 0, {row["reason"]: 1})
    assert "kept in rejected_events" in drip("events", "rejected", "--retry", "--now", NOW).stdout
