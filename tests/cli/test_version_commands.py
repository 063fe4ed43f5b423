"""The commands of versions and of campaign files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from drip_pipeline.settings import CHECKOUT
from tests.cli.conftest import Drip, answered

EXAMPLES = CHECKOUT / "examples"


@pytest.fixture
def edited(drip: Drip, tmp_path: Path) -> Path:
    """The win-back example, published twice: the wait of five days became two. The second file."""
    answered(drip("campaign", "publish", str(EXAMPLES / "winback.yaml"), "--json"))
    text = (EXAMPLES / "winback.yaml").read_text(encoding="utf-8")
    path = tmp_path / "edited.yaml"
    path.write_text(text.replace("value: 5, unit: days", "value: 2, unit: days"), encoding="utf-8")
    answered(drip("campaign", "publish", path, "--based-on", "1", "--json"))
    return path


def test_versions_are_listed_as_text_and_as_json(drip, edited):
    found = answered(drip("campaign", "versions", "Win-back", "--json"))
    assert [(v["version"], v["is_current"]) for v in found["versions"]] == [(2, True), (1, False)]
    assert "published" in drip("campaign", "versions", "Win-back").stdout


def test_a_difference_is_described_and_drawn(drip, edited, tmp_path):
    page = tmp_path / "diff.html"
    told = drip("campaign", "diff", "Win-back", "1", "2", "--out", page)
    assert "1 delay changed" in told.stdout
    assert "~ wait 5 days → 2 days" in told.stdout
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") == 2
    assert "wait 5 days → 2 days" in html
    assert "http://www.w3.org/2000/svg" in html
    assert "<script" not in html
    found = answered(drip("campaign", "diff", "Win-back", "1", "2", "--json"))
    assert [change["kind"] for change in found["changes"]] == ["delay"]


def test_a_version_is_compared_with_a_file(drip, edited):
    same = answered(drip("campaign", "diff", "Win-back", "2", edited, "--json"))
    assert (same["is_empty"], same["after"]) == (True, "edited.yaml")
    assert "no difference" in drip("campaign", "diff", "Win-back", "2", edited).stdout
    assert drip("campaign", "diff", "Win-back", "2", "missing.yaml").exit_code == 1
    assert drip("campaign", "diff", "Win-back", "first", "2").exit_code == 2


def test_rollback_snapshot_and_export(drip, edited, tmp_path):
    tried = drip("campaign", "rollback", "Win-back", "1", "--dry-run")
    assert "would go back to version 1, as version 3" in tried.stdout
    done = answered(drip("campaign", "rollback", "Win-back", "1", "--json"))
    assert (done["status"], done["version"]) == ("published", 3)
    assert "is as in version 1 already" in drip("campaign", "rollback", "Win-back", "1").stdout
    kept = answered(drip("campaign", "snapshot", "Win-back", "--description", "so far", "--json"))
    assert kept["version"] == 4
    out = tmp_path / "second.json"
    drip("campaign", "export", "Win-back", "--version", "2", "--out", out)
    again = answered(drip("campaign", "diff", "Win-back", "2", out, "--json"))
    assert again["is_empty"] is True


def test_an_edit_of_an_outdated_version_is_refused(drip, edited):
    refused = drip("campaign", "publish", str(EXAMPLES / "winback.yaml"), "--based-on", "1")
    assert refused.exit_code == 1
    assert "is now at version 2, but the file is based on version 1" in refused.stderr
    assert "--based-on 2" in refused.stderr


def test_a_clone_shows_its_parent(drip, edited):
    made = answered(drip("campaign", "clone", "Win-back", "--name", "Copy", "--json"))
    assert (made["status"], made["of_version"]) == ("draft", 2)
    assert "cloned from Win-back" in drip("campaign", "show", "Copy").stdout
    assert "cloned as Copy" in drip("campaign", "versions", "Win-back").stdout
    listed = {c["name"]: c for c in answered(drip("campaign", "list", "--json"))}
    assert listed["Copy"]["cloned_from"] == "Win-back"
    assert "cloned_from" in drip("campaign", "list").stdout


def test_plan_and_apply_in_a_pipeline(drip, tmp_path):
    folder = tmp_path / "campaigns"
    folder.mkdir()
    shutil.copy(EXAMPLES / "winback.yaml", folder)
    assert drip("campaign", "plan", folder).exit_code == 0
    assert drip("campaign", "plan", folder, "--detailed-exitcode").exit_code == 3
    kept = tmp_path / "plan.json"
    told = drip("campaign", "plan", folder, "--out", kept)
    assert "winback.yaml: creates 'Win-back'" in told.stdout
    assert "1 to create, 0 to change, 0 unchanged" in told.stdout
    why = ("--description", "first of all")
    done = answered(drip("campaign", "apply", folder, "--plan", kept, *why, "--json"))
    assert done["done"]["winback.yaml"]["status"] == "published"
    history = answered(drip("campaign", "versions", "Win-back", "--json"))
    assert history["versions"][0]["change_description"] == "first of all"
    assert drip("campaign", "plan", folder, "--detailed-exitcode").exit_code == 0
    assert "unchanged" in drip("campaign", "plan", folder).stdout
    assert drip("campaign", "apply", folder, "--plan", folder / "winback.yaml").exit_code == 1


def test_problems_of_files_are_reported_by_file_with_exit_code_1(drip, tmp_path):
    shutil.copy(EXAMPLES / "onboarding.yaml", tmp_path)
    text = (EXAMPLES / "winback.yaml").read_text(encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(text.replace("goal_target: 5", "goal_target: 500"))
    planned = drip("campaign", "plan", tmp_path)
    assert (planned.exit_code, "bad.yaml: cannot be published" in planned.stdout) == (1, True)
    published = drip("campaign", "publish", tmp_path, "--json")
    assert published.exit_code == 1
    assert [p["file"] for p in json.loads(published.stdout)["problems"]] == ["bad.yaml"]
    assert answered(drip("campaign", "list", "--json")) == []
    applied = drip("campaign", "apply", tmp_path, "--json")
    told = json.loads(applied.stdout)
    assert (applied.exit_code, list(told["done"]), list(told["failed"])) == (
        1, ["onboarding.yaml"], ["bad.yaml"],
    )  # fmt: skip


def test_a_folder_is_published_at_once(drip, tmp_path):
    for name in ("onboarding", "winback"):
        shutil.copy(EXAMPLES / f"{name}.yaml", tmp_path)
    found = answered(drip("campaign", "publish", tmp_path, "--dry-run", "--json"))
    assert {label: report["status"] for label, report in found.items()} == {
        "onboarding.yaml": "dry_run", "winback.yaml": "dry_run",
    }  # fmt: skip
    assert "winback.yaml: published 'Win-back'" in drip("campaign", "publish", tmp_path).stdout
    assert drip("campaign", "publish", tmp_path, "--based-on", "1").exit_code == 2


def test_the_schema_is_printed_without_a_database(drip, monkeypatch):
    monkeypatch.setenv("DRIP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    schema = answered(drip("campaign", "schema"))
    assert schema["$schema"].startswith("https://json-schema.org/")
    file = yaml.safe_load((EXAMPLES / "winback.yaml").read_text(encoding="utf-8"))
    assert set(file) <= set(schema["properties"])
