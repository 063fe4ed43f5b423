"""External drafts of published campaigns: detected, checked like files, published on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.campaign import show_campaign
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.external_drafts import DraftReport, check_drafts, publish_draft
from drip_pipeline.engine.publishing.history import rollback
from drip_pipeline.engine.publishing.publish import PublishReport, publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.errors import DefinitionInvalid, NotAllowed, UnpublishedEdit
from drip_pipeline.settings import Settings
from tests.engine.factories import NOW
from tests.engine.publishing.in_flight_states import NAME, version_1, version_2

REPORT = Settings()
PUBLISH = Settings(canvas_edits="publish")
Canvas = dict[str, Any]


def checked(database: Database, settings: Settings = REPORT) -> list[DraftReport]:
    return check_drafts(database, PublishOptions(now=NOW, settings=settings))


def from_file(database: Database, file: dict[str, Any], **options: Any) -> PublishReport:
    return publish(database, file, PublishOptions(now=NOW, settings=REPORT, **options))


def save_canvas(database: Database, change: Callable[[Canvas], None]) -> None:
    """Save the canvas as the visual builder does."""
    with database.transaction() as connection:
        (canvas,) = connection.execute("SELECT canvas_data FROM drip_campaigns").fetchone() or ({},)
        change(canvas)
        connection.execute("UPDATE drip_campaigns SET canvas_data = %s", [Jsonb(canvas)])


def save_step(database: Database, node_id: str, **columns: Any) -> None:
    """Save a step as the visual builder does."""
    with database.transaction() as connection:
        for column, value in columns.items():
            connection.execute(
                f"UPDATE campaign_steps SET {column} = %s WHERE node_id = %s",
                [Jsonb(value), node_id],
            )


def stored(database: Database, query: str) -> Any:
    with database.transaction() as connection:
        row = connection.execute(query).fetchone()
        return None if row is None else row[0]


def shorten_the_rest(database: Database) -> None:
    save_step(database, "rest", wait_config={"type": "duration", "value": 1, "unit": "days"})


def node(canvas: Canvas, node_id: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = (each for each in canvas["nodes"] if each["id"] == node_id)
    return found


def dragged(canvas: Canvas) -> None:
    node(canvas, "hello")["position"] = {"x": 777, "y": -5}
    node(canvas, "hello")["selected"] = True
    canvas["viewport"] = {"x": 3, "y": 4, "zoom": 0.5}
    canvas["ourOwnKey"] = {"kept": True}


@pytest.fixture
def campaign(database: Database) -> Database:
    from_file(database, version_1())
    return database


def test_an_unedited_campaign_has_no_draft(campaign):
    assert checked(campaign) == []


def test_a_changed_layout_is_copied_into_the_published_version(campaign):
    save_canvas(campaign, dragged)
    assert checked(campaign) == []
    assert stored(campaign, "SELECT max(version) FROM campaign_versions") == 1
    exported = export_file(campaign, NAME).file
    assert exported["canvas_data"]["ourOwnKey"] == {"kept": True}
    assert exported["canvas_data"]["viewport"] == {"x": 3, "y": 4, "zoom": 0.5}
    hello = node(exported["canvas_data"], "hello")
    assert (hello["position"], hello["selected"]) == ({"x": 777, "y": -5}, True)
    assert from_file(campaign, exported).status == "unchanged"
    snapshot = stored(campaign, "SELECT canvas_snapshot FROM campaign_versions")
    assert node(snapshot, "hello")["position"] == {"x": 777, "y": -5}


def test_data_of_the_builder_survives_publishing_exporting_and_rollback(campaign):
    save_canvas(campaign, dragged)
    exported = export_file(campaign, NAME).file
    assert checked(campaign) == []
    from_file(campaign, version_2())
    back = rollback(campaign, NAME, 1, PublishOptions(now=NOW, settings=REPORT))
    assert back.version == 3
    assert export_file(campaign, NAME).file == exported
    again = stored(campaign, "SELECT canvas_data FROM drip_campaigns")
    assert again["ourOwnKey"] == {"kept": True}
    assert node(again, "hello")["selected"] is True
    assert checked(campaign) == []


def test_a_changed_position_does_not_block_a_publication(campaign):
    save_canvas(campaign, dragged)
    assert from_file(campaign, version_2()).version == 2


def test_a_draft_is_new_once_and_is_shown_until_it_is_published(campaign):
    shorten_the_rest(campaign)
    (first,) = checked(campaign)
    assert (first.status, first.is_new, first.base_version) == ("valid", True, 1)
    assert "1 delay changed" in first.changes
    (second,) = checked(campaign)
    assert (second.status, second.is_new) == ("valid", False)
    assert second.changes == first.changes
    recorded = show_campaign(campaign, NAME).edit
    assert recorded is not None
    assert recorded.kind == "valid"
    done = publish_draft(campaign, NAME, PublishOptions(now=NOW, settings=REPORT))
    assert (done.status, done.version) == ("published", 2)
    assert checked(campaign) == []
    assert show_campaign(campaign, NAME).edit is None
    wait = stored(
        campaign,
        "SELECT n.v -> 'config' FROM campaign_versions, jsonb_array_elements(compiled_graph ->"
        " 'nodes') n (v) WHERE version = 2 AND n.v ->> 'node_id' = 'rest'",
    )
    assert (wait["value"], wait["unit"]) == (1, "days")
    with pytest.raises(NotAllowed, match="no unpublished external changes"):
        publish_draft(campaign, NAME, PublishOptions(now=NOW, settings=REPORT))


def test_a_reverted_draft_is_deleted(campaign):
    before = stored(campaign, "SELECT wait_config FROM campaign_steps WHERE node_id = 'rest'")
    shorten_the_rest(campaign)
    assert len(checked(campaign)) == 1
    save_step(campaign, "rest", wait_config=before)
    assert checked(campaign) == []
    assert stored(campaign, "SELECT count(*) FROM campaign_edits") == 0


def test_a_change_on_the_canvas_alone_is_a_draft(campaign):
    def renewed(canvas: Canvas) -> None:
        text = {"email": {"subject": "Drawn", "body": "On the canvas"}}
        node(canvas, "hello")["data"]["config"] = {"channel_config": text}

    save_canvas(campaign, renewed)
    (edit,) = checked(campaign)
    assert edit.status == "valid"
    publish_draft(campaign, NAME, PublishOptions(now=NOW, settings=REPORT))
    subject = stored(campaign, "SELECT subject_line FROM campaign_steps WHERE node_id = 'hello'")
    assert subject == "Drawn"
    assert checked(campaign) == []


def test_an_invalid_draft_names_its_steps_and_is_never_published(
    campaign,
):
    def cut(canvas: Canvas) -> None:
        canvas["edges"] = [edge for edge in canvas["edges"] if edge["target"] != "thanks"]

    save_canvas(campaign, cut)
    save_step(campaign, "rest", wait_config={"type": "duration", "value": -1, "unit": "days"})
    for settings, is_new in ((PUBLISH, True), (PUBLISH, False)):
        (edit,) = checked(campaign, settings)
        assert (edit.status, edit.is_new) == ("invalid", is_new)
    assert ("rest", "Wait rest") in {(p["node_id"], p["step"]) for p in edit.problems}
    assert len(edit.problems) > 1
    shown = show_campaign(campaign, NAME).edit
    assert shown is not None
    assert shown.problems == edit.problems
    with pytest.raises(DefinitionInvalid):
        publish_draft(campaign, NAME, PublishOptions(now=NOW, settings=REPORT))
    assert stored(campaign, "SELECT published_version FROM drip_campaigns") == 1


def test_with_the_setting_publish_an_unchanged_valid_draft_is_published(campaign):
    shorten_the_rest(campaign)
    (first,) = checked(campaign, PUBLISH)
    assert first.status == "valid"
    save_step(campaign, "tail", wait_config={"type": "duration", "value": 2, "unit": "days"})
    (second,) = checked(campaign, PUBLISH)
    assert (second.status, second.is_new) == ("valid", True)
    (third,) = checked(campaign, PUBLISH)
    assert (third.status, third.version) == ("published", 2)
    assert checked(campaign, PUBLISH) == []


def test_a_file_overwrites_a_draft_only_on_request(campaign):
    shorten_the_rest(campaign)
    with pytest.raises(UnpublishedEdit, match="1 delay changed"):
        from_file(campaign, version_2())
    assert stored(campaign, "SELECT max(version) FROM campaign_versions") == 1
    assert from_file(campaign, version_1()).status == "unchanged"
    assert len(checked(campaign)) == 1
    done = from_file(campaign, version_2(), overwrites_draft=True)
    assert done.version == 3
    kept = stored(
        campaign, "SELECT steps_snapshot FROM campaign_versions WHERE change_type = 'draft'"
    )
    (rest,) = (step for step in kept if step["node_id"] == "rest")
    assert rest["wait_config"]["value"] == 1
    assert checked(campaign) == []


def test_publishing_the_published_file_over_a_draft_reverts_the_draft(campaign):
    shorten_the_rest(campaign)
    done = from_file(campaign, version_1(), overwrites_draft=True)
    assert (done.status, done.version) == ("unchanged", 1)
    assert checked(campaign) == []
    rest = stored(campaign, "SELECT wait_config FROM campaign_steps WHERE node_id = 'rest'")
    assert rest["value"] == 3


def test_the_draft_may_be_published_as_a_file(campaign):
    shorten_the_rest(campaign)
    exported = json.loads(json.dumps(export_file(campaign, NAME).file))
    assert from_file(campaign, exported).version == 2
    assert checked(campaign) == []


def test_metrics_written_to_the_tables_are_no_draft(campaign):
    with campaign.transaction() as connection:
        connection.execute(
            "UPDATE drip_campaigns SET metrics = '{\"sent\": 1}', updated_at = %s",
            [NOW + timedelta(days=1)],
        )
        connection.execute("UPDATE campaign_steps SET metrics = '{\"sent\": 1}'")
    assert checked(campaign) == []
