"""Publication checks the channel of each step, and stores prepared emails beside their texts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.publish import PublishReport, publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import DefinitionInvalid
from drip_pipeline.settings import Secret, Settings
from tests.engine.factories import NOW

HTML = "<style>p {color: red}</style><body><p>Hi {{ first_name }}</p></body>"
SMTP = Secret("smtp://127.0.0.1:25")


def campaign_file(*actions: dict[str, Any]) -> dict[str, Any]:
    """Return a campaign of an email and these actions."""
    mail = {"email": {"subject": "Hello", "body": "", "body_html": HTML}}
    steps: list[dict[str, Any]] = [
        {"node_id": "mail", "node_type": "email", "step_name": "Mail", "channel_config": mail}
    ]
    for number, action in enumerate(actions):
        name = f"action{number}"
        steps.append({"node_id": name, "node_type": "action", "step_name": name, **action})
    return {"name": "Spring", "campaign_type": "linear", "steps": steps}


def published(
    database: Database, file: dict[str, Any], *, dry_run: bool = False, **settings: Any
) -> PublishReport:
    return publish(
        database, file, PublishOptions(now=NOW, settings=Settings(**settings), dry_run=dry_run)
    )


def test_the_graph_has_the_prepared_email_and_the_definition_the_text_as_written(
    database: Database,
):
    report = published(database, campaign_file(), smtp_url=SMTP)
    with database.transaction() as connection:
        graph, definition = connection.execute(
            "SELECT compiled_graph, definition FROM campaign_versions WHERE campaign_id = %s",
            [report.campaign_id],
        ).fetchone() or ({}, {})
    (sent,) = (node for node in graph["nodes"] if node["node_id"] == "mail")
    assert 'style="color: red' in json.dumps(sent).replace("\\", "")
    assert "unsubscribe_url" in json.dumps(sent)
    for kept in (definition, export_file(database, "Spring").file):
        (step,) = (step for step in kept["steps"] if step["node_id"] == "mail")
        assert step["channel_config"]["email"]["body_html"] == HTML
    again = published(database, export_file(database, "Spring").file, smtp_url=SMTP)
    assert (again.status, again.version) == ("unchanged", 1)


def test_steps_that_no_channel_can_send_are_all_reported_at_publication(
    database: Database,
):
    post = {"social": {"platform": "instagram", "content": "Hi"}}
    text = {"sms": {"body": "Hi"}}
    file = campaign_file({"channel_config": post}, {"channel_config": text})
    with pytest.raises(DefinitionInvalid) as caught:
        published(database, file, delivery="send")
    found = {(problem.node_id, problem.code) for problem in caught.value.problems}
    assert found == {
        ("mail", "channel_missing"),
        ("action0", "platform_unsupported"),
        ("action1", "channel_missing"),
    }
    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM drip_campaigns").fetchone() == (0,)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_missing_configuration_is_a_warning_if_nothing_is_sent(database: Database, dry_run: bool):
    report = published(database, campaign_file(), dry_run=dry_run)
    assert {(one.node_id, one.code) for one in report.warnings} == {
        ("mail", "unsubscribe_link_missing"),  # the added footer contains it
        ("mail", "channel_missing"),
    }


def test_an_invalid_file_is_reported_without_channel_problems(database: Database):
    file = campaign_file()
    del file["steps"][0]["channel_config"]["email"]["subject"]
    with pytest.raises(DefinitionInvalid) as caught:
        published(database, file, delivery="send")
    assert "channel_missing" not in {problem.code for problem in caught.value.problems}
