"""`drip alerts`: the list of incidents, the check, and the test notification."""

from __future__ import annotations

from datetime import timedelta

from tests.cli.conftest import answered
from tests.engine.factories import NOW, a_published_campaign, contacts, enrolled
from tests.engine.graphs import end, graph, trigger


def test_a_check_opens_an_incident_that_the_list_shows(drip, database):
    assert "no open incidents" in drip("alerts", "list").stdout
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, graph(trigger("end"), end()))
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 1))
    late = (NOW + timedelta(hours=1)).isoformat()
    seen = answered(drip("alerts", "check", "--now", late, "--json"))
    assert (seen["opened"], seen["notified"]) == (1, 0)
    (row,) = answered(drip("alerts", "list", "--json"))
    assert row["kind"] == "backlog_stuck"
    assert row["notices"] == []
    assert "60 minutes" in row["sentence"]
    assert "nobody" in drip("alerts", "list").stdout


def test_a_test_notification_without_a_route_names_the_settings(drip):
    result = drip("alerts", "test")
    assert result.exit_code == 1
    assert "DRIP_ALERT_TO" in result.stdout
