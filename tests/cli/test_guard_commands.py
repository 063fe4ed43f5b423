"""The commands of volume guards: `drip workspace guard`, `drip enroll`, `drip campaign`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Drip, answered

NOW = "2026-03-02T09:00:00+00:00"
FILE = {
    "name": "Welcome",
    "per_day": 500,
    "pause_when": {"complaints": 0.5},
    "steps": [{"node_id": "hello", "node_type": "email", "subject_line": "Hi", "email_body": "Hi"}],
}


def prepared(drip: Drip, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("email\n" + "".join(f"p{n}@example.com\n" for n in range(6)), "utf-8")
    answered(drip("contacts", "import", people, "--now", NOW, "--json"))
    file = tmp_path / "welcome.json"
    file.write_text(json.dumps(FILE), "utf-8")
    answered(drip("campaign", "publish", file, "--now", NOW, "--json"))


def test_a_wrong_audience_enrolls_nobody_until_its_size_is_named(drip: Drip, tmp_path: Path):
    prepared(drip, tmp_path)
    assert "10,000" in drip("workspace", "guard", "show").stdout
    changed = answered(drip("workspace", "guard", "set", "--confirm-above", "4", "--json"))
    assert (changed["confirm_above"], changed["is_changed"]) == (4, True)
    assert "unchanged" in drip("workspace", "guard", "set", "--confirm-above", "4").stdout
    refused = drip("enroll", "Welcome", "--all", "--now", NOW)
    assert refused.exit_code == 1
    assert "would enroll 6 contacts" in refused.stderr
    assert "--confirm 6" in refused.stderr
    planned = drip("enroll", "Welcome", "--all", "--now", NOW, "--dry-run")
    assert "6 would be enrolled" in planned.stdout
    assert "add --confirm 6" in planned.stdout
    report = answered(drip("enroll", "Welcome", "--all", "--now", NOW, "--confirm", "6", "--json"))
    assert (report["enrolled"], report["is_dry_run"]) == (6, False)


def test_the_guard_is_switched_off_and_limits_are_shown(drip: Drip, tmp_path: Path):
    prepared(drip, tmp_path)
    assert drip("workspace", "guard", "set").exit_code == 2
    assert drip("workspace", "guard", "set", "--off", "--confirm-above", "3").exit_code == 2
    assert answered(drip("workspace", "guard", "set", "--off", "--json"))["confirm_above"] is None
    done = answered(
        drip("campaign", "confirm-entry", "Welcome", "--size", "70000", "--now", NOW, "--json")
    )
    assert (done["size"], done["is_changed"]) == (70_000, True)
    shown = drip("campaign", "show", "Welcome", "--now", NOW).stdout
    assert "at most 500 enrollments a day" in shown
    assert "complaints 0.5" in shown
    assert "Confirmed: 70,000 enrollments a day" in shown


def test_a_holdout_is_set_shown_reported_and_cleared(drip: Drip, tmp_path: Path):
    prepared(drip, tmp_path)
    assert "no holdout" in drip("workspace", "holdout", "show").stdout
    assert drip("workspace", "holdout", "report", "--event", "purchase").exit_code == 1
    arguments = ("workspace", "holdout", "set", "--percent", "5", "--now", NOW)
    change = answered(drip(*arguments, "--salt", "spring", "--json"))
    assert (change["percent"], change["salt"], change["is_changed"]) == (5, "spring", True)
    assert "unchanged" in drip(*arguments).stdout
    assert drip("workspace", "holdout", "set", "--percent", "80").exit_code == 1
    later = "2026-04-10T09:00:00+00:00"
    report = answered(
        drip("workspace", "holdout", "report", "--event", "purchase", "--now", later, "--json")
    )
    assert [month["month"] for month in report["months"]] == ["2026-03-01", "2026-04-01"]
    assert sum(report["months"][0][group] for group in ("held_out", "others")) == 6
    shown = drip("workspace", "holdout", "report", "--event", "purchase", "--now", later)
    assert "2026-03" in shown.stdout
    assert "ended" in drip("workspace", "holdout", "clear", "--now", later).stdout


def test_a_tick_names_the_campaigns_that_their_guard_paused(drip: Drip, tmp_path: Path):
    prepared(drip, tmp_path)
    limits = {"messages": 5, "complaints": 10}
    file = tmp_path / "welcome.json"
    file.write_text(json.dumps(FILE | {"pause_when": limits}), "utf-8")
    answered(drip("campaign", "publish", file, "--now", NOW, "--json"))
    answered(drip("enroll", "Welcome", "--all", "--now", NOW, "--json"))
    answered(drip("run", "--now", NOW, "--json"))
    events = tmp_path / "events.ndjson"
    complaint = {
        "event_id": "1",
        "event_type": "email_complained",
        "email": "p1@example.com",
        "campaign": "Welcome",
        "occurred_at": NOW,
    }
    events.write_text(json.dumps(complaint) + "\n", "utf-8")
    later = "2026-03-02T10:00:00+00:00"
    answered(drip("events", "ingest", events, "--now", later, "--json"))
    assert "'Welcome' was paused by its guard" in drip("run", "--now", later).stdout
    assert drip("alerts", "check").exit_code == 0
    assert "complaints: 1 of 6" in drip("alerts", "list", "--json").stdout
    refused = drip("campaign", "resume", "Welcome", "--now", later)
    assert refused.exit_code == 1
    assert "--reason" in refused.stderr
    answered(drip("campaign", "resume", "Welcome", "--reason", "known", "--now", later, "--json"))
    assert "paused by its guard" not in drip("run", "--now", later).stdout
