"""Policies for states in flight on the command line: dry runs, maps, refusals, later migration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drip_pipeline.db.connection import Database
from tests.cli.conftest import Drip, answered
from tests.engine.factories import NOW
from tests.engine.publishing.in_flight_states import COHORTS, NAME, a_campaign_in_flight, version_2

AT = ("--now", NOW.isoformat())


@pytest.fixture
def second(database: Database, tmp_path: Path) -> Path:
    """A state of each cohort in version 1, and the file of version 2."""
    a_campaign_in_flight(database, len(COHORTS))
    path = tmp_path / "campaign.json"
    path.write_text(json.dumps(version_2()), encoding="utf-8")
    return path


def test_a_preview_a_refusal_and_a_migration(drip: Drip, second: Path, tmp_path: Path):
    preview = drip("campaign", "publish", second, "--policy", "migrate", "--dry-run", *AT)
    assert preview.exit_code == 1
    assert "Letter extra" in preview.stdout
    refused = drip("campaign", "publish", second, "--policy", "migrate", "--json", *AT)
    assert refused.exit_code == 1
    (stranded,) = json.loads(refused.stdout)["stranded"]
    assert (stranded["node_id"], stranded["states"]) == ("extra", 1)
    assert "--map OLD=NEW" in refused.stderr
    mapped = tmp_path / "map.yaml"
    mapped.write_text("extra: ask\n", encoding="utf-8")
    by_file = ("--policy", "migrate", "--map-file", mapped)
    told = answered(drip("campaign", "publish", second, *by_file, "--dry-run", "--json", *AT))
    by_option = ("--policy", "migrate", "--map", "extra=ask")
    done = answered(drip("campaign", "publish", second, *by_option, "--json", *AT))
    assert told["in_flight"] == done["in_flight"]
    assert done["in_flight"]["states"] >= len(COHORTS) - 1  # one may have reached the end
    assert {group["to_node"] for group in done["in_flight"]["groups"]} >= {"ask", "rest"}


def test_pinned_states_migrate_later(drip: Drip, second: Path):
    pinned = answered(drip("campaign", "publish", second, "--json", *AT))
    assert {group["action"] for group in pinned["in_flight"]["groups"]} == {"finish version 1"}
    asked = ("campaign", "migrate", NAME, "--from", "1", "--map", "extra=ask", *AT)
    shown = drip(*asked, "--dry-run")
    inside = pinned["in_flight"]["states"]
    assert f"{inside} contacts would move to version 2" in shown.stdout
    assert answered(drip(*asked, "--json"))["states"] == inside > 0
    assert answered(drip(*asked, "--json"))["states"] == 0


@pytest.mark.parametrize("wrong", ["extra", "=ask", "extra="])
def test_an_invalid_map_is_a_usage_error(drip: Drip, tmp_path: Path, wrong: str):
    path = tmp_path / "campaign.json"
    path.write_text("{}", encoding="utf-8")
    result = drip("campaign", "publish", path, "--policy", "migrate", "--map", wrong)
    assert result.exit_code == 2
