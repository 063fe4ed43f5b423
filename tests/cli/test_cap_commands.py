"""`drip workspace caps`, and the keys of a campaign file that frequency caps read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Drip, answered
from tests.cli.test_guard_commands import NOW

CAPS = ("workspace", "caps")
STEP = {"node_id": "hello", "node_type": "email", "subject_line": "Hi", "email_body": "Hi"}


@pytest.fixture
def prepared(drip: Drip, tmp_path: Path) -> Drip:
    people = tmp_path / "people.csv"
    people.write_text("email\nann@example.com\n", "utf-8")
    answered(drip("contacts", "import", people, "--now", NOW, "--json"))
    return drip


def test_a_cap_is_set_listed_and_removed(prepared: Drip):
    drip = prepared
    assert "no frequency caps" in drip(*CAPS, "list").stdout
    weekly = (*CAPS, "set", "weekly", "--max", "3", "--per", "7d", "--max-defer", "10 days")
    done = answered(drip(*weekly, "--reason", "too many mails", "--now", NOW, "--json"))
    assert done["is_changed"] is True
    assert done["cap"] == {
        "name": "weekly", "channels": ["email", "sms"], "max": 3, "on_cap": "defer",
        "per": {"value": 7, "unit": "days"}, "max_defer": {"value": 10, "unit": "days"},
    }  # fmt: skip
    again = drip(*weekly, "--now", NOW)
    assert "at most 3 email and sms messages per 7 days, else defer, skip after 10" in again.stdout
    assert "unchanged" in again.stdout
    daily = (*CAPS, "set", "daily", "--max", "1", "--per", "calendar_day", "--channel", "email")
    assert answered(drip(*daily, "--on-cap", "skip", "--json"))["cap"]["on_cap"] == "skip"
    listed = answered(drip(*CAPS, "list", "--json"))["caps"]
    assert [cap["name"] for cap in listed] == ["daily", "weekly"]
    assert "calendar day" in drip(*CAPS, "list").stdout
    removed = answered(drip(*CAPS, "remove", "daily", "--json"))
    assert (removed["is_changed"], removed["cap"]) == (True, None)
    assert "no frequency cap 'daily'" in drip(*CAPS, "remove", "daily").stdout
    trail = answered(drip("audit", "--json"))
    actions = [entry["action"] for entry in trail if "cap" in entry["action"]]
    assert sorted(actions) == ["remove_cap", "set_cap", "set_cap"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--max", "3", "--per", "weekly"), "neither a length such as 7d"),
        (("--max", "0", "--per", "7d"), "0 is not in the range"),
        (("--max", "3", "--per", "500d"), "between a second and 366 days"),
        (("--max", "3", "--per", "7d", "--max-defer", "later"), "is not a length such as 3d"),
    ],
)
def test_a_cap_that_means_nothing_is_named(prepared: Drip, arguments: tuple[str, ...], reason: str):
    refused = prepared(*CAPS, "set", "weekly", *arguments)
    assert refused.exit_code != 0
    assert reason in refused.stderr


def test_priority_and_exemption_are_published_shown_exported_and_compared(
    prepared: Drip, tmp_path: Path
):
    drip = prepared
    file = tmp_path / "news.json"
    for keys, line in (
        ({"priority": 7}, "Priority: 7"),
        ({"cap_exempt": True}, "Frequency caps: exempt"),
    ):
        file.write_text(json.dumps({"name": "News", "steps": [STEP]} | keys), "utf-8")
        answered(drip("campaign", "publish", file, "--now", NOW, "--json"))
        assert line in drip("campaign", "show", "News", "--now", NOW).stdout
        exported = answered(drip("campaign", "export", "News", "--json"))
        (key,) = keys
        assert keys[key] == exported.get("file", exported)[key]
    compared = drip("campaign", "diff", "News", "1", "2").stdout
    assert "priority" in compared
    assert "cap exempt" in compared.replace("_", " ")
    properties = answered(drip("campaign", "schema"))["properties"]
    assert {"priority", "cap_exempt"} <= properties.keys()


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"priority": 5000}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"priority": True}, "priority"),
        ({"cap_exempt": "maybe"}, "cap_exempt"),
        ({"priorty": 3}, "did you mean"),
    ],
)
def test_a_priority_that_means_nothing_is_refused(
    prepared: Drip, tmp_path: Path, keys: dict[str, object], reason: str
):
    file = tmp_path / "news.json"
    file.write_text(json.dumps({"name": "News", "steps": [STEP]} | keys), "utf-8")
    refused = prepared("campaign", "publish", file, "--now", NOW)
    assert refused.exit_code == 1
    assert reason in refused.stderr


def test_a_priority_without_effect_is_a_warning(prepared: Drip, tmp_path: Path):
    file = tmp_path / "news.json"
    keys = {"priority": 3, "cap_exempt": True}
    file.write_text(json.dumps({"name": "News", "steps": [STEP]} | keys), "utf-8")
    published = prepared("campaign", "publish", file, "--now", NOW)
    assert published.exit_code == 0
    assert "priority has no effect" in published.stdout + published.stderr
