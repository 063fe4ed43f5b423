"""The specification's own campaigns can be published as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery.channel_accounts import ChannelDefinition
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.publish import PublishReport, publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.engine.transports.accounts import set_channel
from drip_pipeline.errors import DefinitionInvalid
from drip_pipeline.settings import Secret, Settings
from tests.engine.factories import NOW

FOLDER = Path(__file__).parent / "specification"
SENDING = {"delivery": "send", "smtp_url": Secret("smtp://127.0.0.1:25")}


def published(database: Database, file: dict[str, Any] | str, **settings: Any) -> PublishReport:
    source = (FOLDER / file).read_text(encoding="utf-8") if isinstance(file, str) else file
    return publish(database, source, PublishOptions(now=NOW, settings=Settings(**settings)))


def mail(channel_id: object = None, **step: Any) -> dict[str, Any]:
    content = {"email": {"subject": "Hi", "body": "Hello"}}
    letter = {"node_id": "letter", "node_type": "email", "channel_config": content}
    return {"name": "Letter", "steps": [{**letter, "channel_id": channel_id}, *step.values()]}


def channel_warnings(report: PublishReport) -> list[tuple[str | None, str]]:
    return [(p.node_id, p.message) for p in report.warnings if p.code == "channel_unclear"]


@pytest.mark.parametrize(
    ("file", "node", "channel"),
    [
        ("spec_nodes.json", "n6", "instagram-channel-uuid"),
        ("spec_ab.json", "node_abc123", "email-channel-uuid"),
    ],
)
def test_they_are_published_and_the_unknown_channel_is_named(database, file, node, channel):
    report = published(database, file)
    assert report.status == "published"
    ((found_node, message),) = channel_warnings(report)
    assert found_node == node
    assert channel in message
    with pytest.raises(DefinitionInvalid, match=f"{node}: .*{channel}"):
        published(database, file, **SENDING)
    again = published(database, file)
    assert again.status == "unchanged"


def test_a_wait_for_an_event_ends_after_value_and_unit(database):
    report = published(database, "spec_nodes.json")
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT compiled_graph FROM campaign_versions WHERE campaign_id = %s",
            [report.campaign_id],
        ).fetchone()
    assert row is not None
    graph: dict[str, Any] = row[0]
    (wait,) = (node for node in graph["nodes"] if node["node_id"] == "n3")
    assert wait["config"]["max_wait"] == {"value": 24, "unit": "hours"}


@pytest.mark.parametrize(
    ("limit", "problem"),
    [
        ({"value": 2}, None),
        ({"value": 2, "unit": "days"}, None),
        ({"value": 2, "unit": "days", "max_wait": {"value": 1, "unit": "days"}}, "both"),
        ({"value": -1, "unit": "days"}, "max_wait"),
        ({"value": "soon"}, "max_wait"),
        ({"unit": "days"}, "unit"),
    ],
)
def test_the_forms_of_the_limit(database, limit, problem):
    wait = {"type": "until_event", "event_type": "email_open", **limit}
    file = mail(wait={"node_id": "w", "node_type": "wait", "wait_config": wait})
    if problem is None:
        assert published(database, file).status == "published"
        return
    with pytest.raises(DefinitionInvalid, match=f"w: .*{problem}"):
        published(database, file)


def test_percentages_are_written_where_applications_read_them(database):
    file = json.loads((FOLDER / "spec_ab.json").read_text(encoding="utf-8"))
    del file["steps"][2]["channel_id"]
    report = published(database, file)
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT node_id, variant_percentage FROM campaign_steps WHERE campaign_id = %s"
            " ORDER BY step_number",
            [report.campaign_id],
        ).fetchall()
    assert dict(rows) == {"node_t": None, "node_s": None, "node_abc123": 50, "node_def456": 50}
    again = published(database, export_file(database, "Spec AB").file)
    assert again.status == "unchanged"


def test_weights_may_come_from_the_steps_alone(database):
    file = json.loads((FOLDER / "spec_ab.json").read_text(encoding="utf-8"))
    del file["ab_test_config"]
    file["campaign_type"] = "branching"
    for step, weight in zip(file["steps"][2:], (30, 70), strict=True):
        step["variant_percentage"] = weight
    report = published(database, file)
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT variant_percentage FROM campaign_steps WHERE campaign_id = %s"
            " AND variant_group IS NOT NULL ORDER BY step_number",
            [report.campaign_id],
        ).fetchall()
    assert rows == [(30,), (70,)]


def test_a_wrong_channel_is_told_with_its_name(database):
    def channel(workspace: str, definition: ChannelDefinition) -> UUID:
        return set_channel(database, definition, workspace=workspace, now=NOW).channel_id

    own = channel("Mine", ChannelDefinition("letters", "email"))
    specs = {"account_sid": "AC1", "auth_token_env": "T", "from": "Acme"}
    text = channel("Mine", ChannelDefinition("texts", "sms", specs=specs))
    theirs = channel("Other", ChannelDefinition("foreign", "email"))
    for channel_id, words in [
        ("letters", f"is the name of a channel, not its id; write {own} ('letters')"),
        (text, "channel 'texts' sends sms, and the step needs email"),
        (theirs, "channel 'foreign' belongs to another workspace"),
        (uuid4(), f"is no channel of this workspace; its channels: 'letters' ({own})"),
        ("x' OR 1=1", "is no channel of this workspace"),
    ]:
        file = {**mail(str(channel_id)), "name": str(channel_id), "workspace": "Mine"}
        ((node, message),) = channel_warnings(published(database, file))
        assert node == "letter"
        assert words in message
        with pytest.raises(DefinitionInvalid) as caught:
            published(database, file, **SENDING)
        assert words in str(caught.value)
    file = {**mail(str(own)), "name": "right", "workspace": "Mine"}
    assert channel_warnings(published(database, file, **SENDING)) == []
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT channel_id FROM campaign_steps WHERE channel_id IS NOT NULL"
        ).fetchall()
    assert set(rows) <= {(own,), (text,)}
