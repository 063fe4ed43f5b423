"""A campaign that an application made active without publishing it is noticed and publishable."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from drip_pipeline.engine.operations import incidents
from tests.cli.conftest import answered

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ID = "00000000-0000-0000-0000-0000000000ea"
CAMPAIGN = """
INSERT INTO drip_campaigns (id, workspace_id, name, status, campaign_type, canvas_data)
SELECT '00000000-0000-0000-0000-0000000000ea', id, 'App active', 'active', 'linear',
    '{"nodes": [{"id": "x1", "type": "trigger", "position": {"x": 0, "y": 0}, "data": {}},
     {"id": "x2", "type": "email", "position": {"x": 0, "y": 0}, "data": {}}],
     "edges": [{"id": "e", "source": "x1", "target": "x2"}]}'
FROM workspaces LIMIT 1;
INSERT INTO campaign_steps (campaign_id, step_number, step_name, node_id, node_type, channel_config)
VALUES
    ('00000000-0000-0000-0000-0000000000ea', 1, 's', 'x1', 'trigger', null),
    ('00000000-0000-0000-0000-0000000000ea', 2, 'w', 'x2', 'email', '{}');
INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email)
SELECT '00000000-0000-0000-0000-0000000000ea', id, email FROM contacts LIMIT 5;
"""


@pytest.fixture(params=[True, False], ids=["valid", "invalid"])
def is_valid(request, drip, database, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text("email\n" + "".join(f"person{n}@example.com\n" for n in range(5)))
    answered(drip("contacts", "import", people, "--json"))
    email = '{"email": {"subject": "Hi", "body": "Yo"}}' if request.param else "{}"
    with database.transaction() as connection:
        connection.execute(CAMPAIGN.replace("'{}'", f"'{email}'"))
    return request.param


def open_incidents(database):
    rows = incidents.current(database, now=NOW, backlog_minutes=15)
    return [row for row in rows if row.kind == incidents.NOT_PUBLISHED]


def test_it_is_listed_with_its_reason_and_published(drip, database, is_valid):
    (row,) = answered(drip("campaign", "list", "--json"))
    (draft,) = answered(drip("campaign", "drafts", "--json")) if is_valid else (None,)
    (incident,) = open_incidents(database)
    assert "5 enrollments wait" in incident.sentence
    assert "App active" in incident.sentence
    listed = drip("campaign", "list").stdout
    assert "App active is active but was never published" in listed
    published = drip("campaign", "drafts", "App active", "--publish")
    if not is_valid:
        assert any(reason.startswith("x2: ") for reason in row["not_published"])
        checked = drip("campaign", "drafts")
        assert checked.exit_code == 1
        assert "cannot be published" in checked.stdout
        assert "x2" in checked.stdout
        assert published.exit_code == 1
        assert "x2: " in published.stderr
        return
    assert draft is not None
    assert draft["base_version"] == 0
    assert draft["status"] == "valid"
    assert published.exit_code == 0, published.stderr
    answered(drip("run", "--until-idle", "--json"))
    assert open_incidents(database) == []
    (row,) = answered(drip("campaign", "list", "--json"))
    assert (row["version"], row["not_published"]) == (1, None)
    with database.transaction() as connection:
        sent = connection.execute("SELECT count(*) FROM recorded_messages").fetchone()
    assert sent == (5,)
    assert answered(drip("campaign", "drafts", "--json")) == []


def test_an_incident_only_while_people_wait(database, is_valid):
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_enrollments SET status = 'unsubscribed'")
    assert open_incidents(database) == []
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_enrollments SET status = 'active'")
        connection.execute("UPDATE drip_campaigns SET status = 'paused'")
    assert open_incidents(database) == []


def test_a_legacy_campaign_that_could_not_be_taken_over_is_listed(drip, database, is_valid):
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_steps SET node_id = NULL, node_type = NULL")
        connection.execute(
            "UPDATE campaign_steps SET email_body = '{% broken', channel_config = NULL"
        )
        connection.execute("UPDATE drip_campaigns SET canvas_data = '{}'")
    report = answered(drip("db", "migrate", "--json"))
    assert list(report["refused"]) == ["App active"]
    (row,) = answered(drip("campaign", "list", "--json"))
    assert row["not_published"] == report["refused"]["App active"]
