"""The commands that import events and compute metrics."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from drip_pipeline.db.connection import Database
from tests.cli.conftest import Drip, answered
from tests.engine.events.incoming import mailed
from tests.engine.factories import NOW, an_event

CLOCK = ("--now", NOW.isoformat())
DAY = NOW.date().isoformat()


@pytest.fixture
def opened(database: Database, tmp_path: Path) -> Path:
    """Write a file: the first of two contacts opens the email, and one line is malformed."""
    _, sent = mailed(database, 2)
    path = tmp_path / "events.ndjson"
    opening = an_event(1, "email_opened", message_id=sent[0].message_id)
    path.write_bytes(orjson.dumps(opening) + b"\n{oops\n")
    return path


def test_events_of_a_file_become_metrics(drip: Drip, opened: Path):
    taken = answered(drip("events", "ingest", opened, *CLOCK, "--json"))
    assert (taken["lines"], taken["accepted"]) == (2, 1)
    assert taken["rejected"] == {"the line is not JSON": 1}
    again = answered(drip("events", "ingest", opened, *CLOCK, "--json"))
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    assert answered(drip("metrics", "show", "--json")) == []
    counted = answered(drip("metrics", "refresh", *CLOCK, "--json"))
    assert counted["sent"] == 2
    [row] = answered(drip("metrics", "show", "Welcome", "--by", "day", "--json"))
    assert (row["metric_date"], row["sent"], row["opened"], row["open_rate"]) == (DAY, 2, 1, 50)
    assert "Welcome" in drip("metrics", "show").stdout


def test_days_are_rebuilt_from_the_log(drip: Drip, opened: Path, database: Database):
    answered(drip("events", "ingest", opened, *CLOCK, "--json"))
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_message_outcomes SET first_opened_at = NULL")
    rebuilt = answered(
        drip("metrics", "rebuild", "--from", DAY, "--to", DAY, "--outcomes", "--json")
    )
    assert (rebuilt["sent"], rebuilt["corrected_outcomes"]) == (2, 1)
    [row] = answered(drip("metrics", "show", "--json"))
    assert row["opened"] == 1


def test_metrics_are_written_as_files(drip: Drip, opened: Path, tmp_path: Path):
    answered(drip("metrics", "refresh", *CLOCK, "--json"))
    written = answered(drip("metrics", "export", "--out", tmp_path / "out", "--json"))
    assert [(day["day"], day["rows"]) for day in written["days"]] == [(DAY, 1)]
    assert (tmp_path / "out" / f"day={DAY}" / "metrics.parquet").is_file()
    some = drip("metrics", "export", "--from", DAY, "--to", "2026-03-05", "--out", tmp_path / "out")
    assert some.stdout.startswith("1 rows of 1 days written to")


def test_the_time_zone_of_a_workspace_is_set_and_shown(drip: Drip, opened: Path):
    answered(drip("metrics", "refresh", *CLOCK, "--json"))
    moved = answered(drip("workspace", "zone", "Pacific/Auckland", "--json"))
    assert (moved["before"], moved["time_zone"], moved["stale_days"]) == (
        "UTC", "Pacific/Auckland", 3,
    )  # fmt: skip
    [shown] = answered(drip("workspace", "list", "--json"))
    assert (shown["workspace"], shown["time_zone"], shown["contacts"]) == (
        "Acme", "Pacific/Auckland", 2,
    )  # fmt: skip
    assert "already uses Pacific/Auckland" in drip("workspace", "zone", "Pacific/Auckland").stdout
    refused = drip("workspace", "zone", "Pacific/Aukland")
    assert refused.exit_code == 1
    assert "Pacific/Auckland" in refused.stderr


@pytest.mark.parametrize(
    "range_",
    [("--from", DAY), ("--from", DAY, "--to", "soon"), ("--from", DAY, "--to", "2020-01-01")],
)
def test_a_range_that_makes_no_sense_is_wrong_usage(drip: Drip, range_: tuple[str, ...]):
    assert drip("metrics", "rebuild", *range_).exit_code == 2


def test_a_violated_invariant_is_exit_code_1(drip: Drip, opened: Path, database: Database):
    assert all(row["holds"] for row in answered(drip("metrics", "check", *CLOCK, "--json")))
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_message_outcomes SET open_count = 9")
    result = drip("metrics", "check", *CLOCK, "--json")
    assert result.exit_code == 1
    [broken] = [row for row in orjson.loads(result.stdout) if not row["holds"]]
    assert (broken["invariant"], broken["violations"]) == ("outcomes_match_log", 2)
    assert opened.exists()


def test_live_metrics_as_table_json_and_prometheus_text(drip):
    assert "drip_oldest_due_seconds" in drip("metrics", "live").stdout
    assert {row["name"] for row in answered(drip("metrics", "live", "--json"))} >= {"drip_backlog"}
    told = drip("metrics", "live", "--prometheus").stdout
    assert 'drip_backlog{work="people"} 0.0' in told


def test_a_campaigns_funnel_is_described_and_drawn(drip: Drip, opened: Path, tmp_path: Path):
    told = answered(drip("campaign", "funnel", "Welcome", *CLOCK, "--json"))
    assert (told["entered"], told["inside"], told["ended"], told["lost"]) == (2, 0, 2, 0)
    assert [node["reached"] for node in told["nodes"]] == [2, 2, 2]
    assert "2 entered: 0 are inside" in drip("campaign", "funnel", "Welcome", *CLOCK).stdout
    for name, begins in (("f.svg", "<svg"), ("f.html", "<!doctype html>")):
        drawn = drip("campaign", "funnel", "Welcome", "--out", tmp_path / name, *CLOCK)
        assert drawn.stdout == f"written to {tmp_path / name}\n"
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)
    assert drip("campaign", "funnel", "Welcome", "--out", tmp_path / "f.png").exit_code == 2
    assert drip("campaign", "funnel", "Nobody").exit_code == 1
