"""`drip alerts`: what is open, in words and as JSON, and a look now."""

from __future__ import annotations

from datetime import timedelta

from tests.cli.conftest import answered
from tests.engine.factories import NOW, a_published_campaign, contacts, enrolled
from tests.engine.graphs import end, graph, trigger


def test_a_look_finds_what_is_stuck_and_the_list_says_what_to_do(drip, database):
    assert "no incident is open" in drip("alerts", "list").stdout
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, graph(trigger("end"), end()))
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 1))
    late = (NOW + timedelta(hours=1)).isoformat()
    seen = answered(drip("alerts", "check", "--now", late, "--json"))
    assert (seen["opened"], seen["told"]) == (1, 0)
    (row,) = answered(drip("alerts", "list", "--json"))
    assert row["kind"] == "backlog_stuck"
    assert row["notices"] == []
    assert "60 minutes" in row["sentence"]
    assert "nobody" in drip("alerts", "list").stdout


def test_a_trial_without_a_way_says_what_to_set(drip):
    tried = drip("alerts", "test")
    assert tried.exit_code == 1
    assert "DRIP_ALERT_TO" in tried.stdout
