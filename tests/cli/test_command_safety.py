"""Commands that could do harm by a wrong assumption refuse or warn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drip_pipeline.db.operations import demo as demo_db
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.demo.contacts_file import ADDRESSES, write_contacts
from drip_pipeline.demo.scenario import CAMPAIGN_FILES, CAMPAIGNS, EXAMPLES
from drip_pipeline.demo.simulation import WORKSPACE, _new_workspace
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.contacts.import_contacts import import_contacts
from drip_pipeline.errors import NotAllowed
from tests.cli.conftest import answered

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CAMPAIGN = """
name: Onboarding
steps:
  - {node_id: hi, node_type: email, channel_config: {email: {subject: Hi, body: Hello}}}
"""


@pytest.fixture
def demo_workspace(database, tmp_path):
    """A workspace as the demo leaves it, with its contacts and a campaign."""
    workspace_id, name = _new_workspace(database, lambda _: None)
    people = tmp_path / "demo.csv"
    write_contacts(people, 100)
    import_contacts(database, people, now=NOW, workspace=name)
    return workspace_id


def names(database):
    with database.transaction() as connection:
        rows = connection.execute("SELECT w.name, w.id FROM workspaces w ORDER BY w.name")
        return dict(rows.fetchall())


def test_no_command_defaults_into_the_demos_workspace(drip, database, demo_workspace, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("email\nreal@customer.example\n")
    answered(drip("contacts", "import", own, "--json"))
    excluded = tmp_path / "no.csv"
    excluded.write_text("email,reason\nno@customer.example,unsubscribed\n")
    answered(drip("suppressions", "import", excluded, "--json"))
    file = tmp_path / "own.yaml"
    file.write_text(CAMPAIGN)
    answered(drip("campaign", "publish", file, "--json"))
    answered(drip("workspace", "zone", "Europe/Berlin", "--json"))
    workspaces = names(database)
    assert set(workspaces) == {WORKSPACE, "default"}
    with database.transaction() as connection:
        rows = connection.execute("SELECT workspace_id FROM drip_campaigns").fetchall()
        assert rows == [(workspaces["default"],)]
        excluded_there = connection.execute(
            "SELECT count(*) FROM campaign_suppressions WHERE workspace_id = %s",
            [workspaces["default"]],
        )
        assert excluded_there.fetchone() == (1,)
        zone = connection.execute("SELECT time_zone FROM workspaces WHERE name = 'default'")
        assert zone.fetchone() == ("Europe/Berlin",)


def test_a_name_means_the_own_campaign_rather_than_the_demos(drip, database, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(CAMPAIGN)
    answered(drip("campaign", "publish", file, "--workspace", "Other", "--json"))
    with database.transaction() as connection:
        demo_db.mark_workspace(connection, publish_db.workspaces(connection, "Other")[0].id)
        assert find_campaign(connection, "Onboarding").workspace == "Other"
    answered(drip("campaign", "publish", file, "--workspace", "Mine", "--json"))
    with database.transaction() as connection:
        assert find_campaign(connection, "Onboarding").workspace == "Mine"


def test_a_second_demo_replaces_the_first(database, demo_workspace):
    _new_workspace(database, lambda _: None)
    assert list(names(database)) == [WORKSPACE]
    assert demo_workspace not in names(database).values()


def test_a_workspace_that_only_has_the_name_is_left_alone(database):
    with database.transaction() as connection:
        own = publish_db.insert_workspace(connection, WORKSPACE)
    for _ in range(2):
        _new_workspace(database, lambda _: None)
    workspaces = names(database)
    assert set(workspaces) == {WORKSPACE, f"{WORKSPACE} 2"}
    assert workspaces[WORKSPACE] == own


@pytest.mark.parametrize(
    "addition",
    [
        "INSERT INTO contacts (workspace_id, email) VALUES (%s, 'real@customer.example')",
        "INSERT INTO contacts (workspace_id, name) VALUES (%s, 'without address')",
        "INSERT INTO drip_campaigns (workspace_id, name) VALUES (%s, 'Own')",
        "INSERT INTO drip_campaigns (workspace_id, name) VALUES (%s, 'Onboarding')",
        (
            "INSERT INTO campaign_channels (workspace_id, channel_slug, channel_name,"
            " channel_category) VALUES (%s, 'mail', 'Mail', 'email')"
        ),
    ],
)
def test_what_somebody_added_to_the_demo_is_kept(database, demo_workspace, addition):
    with database.transaction() as connection:
        connection.execute(addition, [demo_workspace])
    said: list[str] = []
    _new_workspace(database, said.append)
    assert demo_workspace in names(database).values()
    assert len(said) == 1
    _new_workspace(database, said.append)
    assert names(database)[WORKSPACE] == demo_workspace
    assert len(said) == 1


def test_the_demo_is_refused_beside_campaigns_that_its_clock_would_move(drip, database, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(CAMPAIGN)
    answered(drip("campaign", "publish", file, "--json"))
    with pytest.raises(NotAllowed, match="'Onboarding'"):
        _new_workspace(database, lambda _: None)
    assert list(names(database)) == ["default"]


def test_the_demos_names_are_those_of_its_files(database):
    texts = [(EXAMPLES / file).read_text(encoding="utf-8") for file in CAMPAIGN_FILES]
    assert [name for text, name in zip(texts, CAMPAIGNS, strict=True) if f"name: {name}" in text]
    with database.transaction() as connection:
        assert demo_db.workspaces(connection, campaigns=CAMPAIGNS, addresses=ADDRESSES) == []


def in_future(**after: int) -> str:
    return (datetime.now(UTC) + timedelta(**after)).isoformat()


def test_a_run_in_the_future_sends_nothing(drip, monkeypatch):
    monkeypatch.setenv("DRIP_DELIVERY", "send")
    monkeypatch.setenv("DRIP_SMTP_URL", "smtp://127.0.0.1:1")
    refused = drip("run", "--now", in_future(hours=2))
    assert refused.exit_code == 1
    assert "--send-anyway" in refused.stderr
    assert drip("run", "--now", in_future(hours=2), "--send-anyway").exit_code == 0
    assert drip("run", "--now", in_future(seconds=20)).exit_code == 0
    assert drip("run", "--now", in_future(hours=-2)).exit_code == 0
    assert drip("run").exit_code == 0
    monkeypatch.setenv("DRIP_DELIVERY", "record")
    assert drip("run", "--now", in_future(hours=2)).exit_code == 0


@pytest.mark.parametrize(
    "arguments", [["run"], ["campaign", "list", "--json"], ["db", "status"], ["alerts", "list"]]
)
def test_every_command_warns_of_a_misspelled_setting(drip, monkeypatch, arguments):
    monkeypatch.setenv("DRIP_DELIVRY", "send")
    done = drip(*arguments)
    assert done.exit_code == 0
    warning = "DRIP_DELIVRY is not a known setting; did you mean DRIP_DELIVERY?"
    assert done.stderr.count(warning) == 1
    assert "DELIVRY" not in done.stdout
