"""External drafts on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drip_pipeline.db.connection import Database
from tests.cli.conftest import Drip, answered
from tests.engine.factories import NOW
from tests.engine.publishing.in_flight_states import NAME, published, version_1, version_2

AT = ("--now", NOW.isoformat())


def rested(database: Database, days: int) -> None:
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_steps"
            " SET wait_config = jsonb_set(wait_config, '{value}', to_jsonb(%s::integer))"
            " WHERE node_id = 'rest'",
            [days],
        )


@pytest.fixture
def second(database: Database, tmp_path: Path) -> Path:
    """Version 1 is published; the file of version 2."""
    published(database, version_1())
    path = tmp_path / "campaign.json"
    path.write_text(json.dumps(version_2()), encoding="utf-8")
    return path


def test_a_draft_is_shown_blocks_a_file_and_is_published(
    drip: Drip, database: Database, second: Path
):
    assert drip("campaign", "drafts", *AT).stdout == "no drafts\n"
    rested(database, 2)
    assert (
        "edited since version 1, not published (1 delay" in drip("campaign", "drafts", *AT).stdout
    )
    assert "Draft: edited since version 1" in drip("campaign", "show", NAME).stdout
    refused = drip("campaign", "publish", second, *AT)
    assert refused.exit_code == 1
    assert "--overwrite-canvas" in refused.stderr
    done = answered(drip("campaign", "drafts", NAME, "--publish", "--json", *AT))
    assert (done["status"], done["version"]) == ("published", 2)
    rested(database, 1)
    over = answered(drip("campaign", "publish", second, "--overwrite-canvas", "--json", *AT))
    assert over["version"] == 4
    assert answered(drip("campaign", "drafts", "--json", *AT)) == []


def test_an_invalid_draft_has_exit_code_1_and_names_its_step(
    drip: Drip, database: Database, second: Path
):
    rested(database, -2)
    told = drip("campaign", "drafts", *AT)
    assert told.exit_code == 1
    assert "  - Wait rest: " in told.stdout
    assert drip("campaign", "drafts", "--publish").exit_code == 2
