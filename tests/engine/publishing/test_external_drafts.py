"""Edits that a visual builder makes in the tables of a published campaign: noticed once, checked as
a file is, published or told, never lost.
"""

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


def looked_at(database: Database, settings: Settings = REPORT) -> list[DraftReport]:
    return check_drafts(database, PublishOptions(now=NOW, settings=settings))


def from_file(database: Database, file: dict[str, Any], **options: Any) -> PublishReport:
    return publish(database, file, PublishOptions(now=NOW, settings=REPORT, **options))


def drawn(database: Database, change: Callable[[Canvas], None]) -> None:
    """The visual builder saves the canvas."""
    with database.transaction() as connection:
        (canvas,) = connection.execute("SELECT canvas_data FROM drip_campaigns").fetchone() or ({},)
        change(canvas)
        connection.execute("UPDATE drip_campaigns SET canvas_data = %s", [Jsonb(canvas)])


def rewritten(database: Database, node_id: str, **columns: Any) -> None:
    """The visual builder saves a step."""
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


def shorter_rest(database: Database) -> None:
    rewritten(database, "rest", wait_config={"type": "duration", "value": 1, "unit": "days"})


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


def test_nothing_is_noticed_where_nothing_was_edited(campaign):
    assert looked_at(campaign) == []


def test_how_the_canvas_is_drawn_is_taken_over_into_the_version_that_is_published(campaign):
    drawn(campaign, dragged)
    assert looked_at(campaign) == []
    assert stored(campaign, "SELECT max(version) FROM campaign_versions") == 1
    exported = export_file(campaign, NAME).file
    assert exported["canvas_data"]["ourOwnKey"] == {"kept": True}
    assert exported["canvas_data"]["viewport"] == {"x": 3, "y": 4, "zoom": 0.5}
    hello = node(exported["canvas_data"], "hello")
    assert (hello["position"], hello["selected"]) == ({"x": 777, "y": -5}, True)
    assert from_file(campaign, exported).status == "unchanged"
    snapshot = stored(campaign, "SELECT canvas_snapshot FROM campaign_versions")
    assert node(snapshot, "hello")["position"] == {"x": 777, "y": -5}


def test_what_the_builder_alone_knows_survives_publishing_exporting_and_going_back(campaign):
    drawn(campaign, dragged)
    exported = export_file(campaign, NAME).file
    assert looked_at(campaign) == []
    from_file(campaign, version_2())
    back = rollback(campaign, NAME, 1, PublishOptions(now=NOW, settings=REPORT))
    assert back.version == 3
    assert export_file(campaign, NAME).file == exported
    again = stored(campaign, "SELECT canvas_data FROM drip_campaigns")
    assert again["ourOwnKey"] == {"kept": True}
    assert node(again, "hello")["selected"] is True
    assert looked_at(campaign) == []


def test_a_position_that_was_not_looked_at_yet_stops_nobody(campaign):
    drawn(campaign, dragged)
    assert from_file(campaign, version_2()).version == 2


def test_an_edit_is_told_once_as_new_and_stands_in_show_until_it_is_published(campaign):
    shorter_rest(campaign)
    (first,) = looked_at(campaign)
    assert (first.status, first.is_new, first.base_version) == ("valid", True, 1)
    assert "1 delay changed" in first.changes
    (second,) = looked_at(campaign)
    assert (second.status, second.is_new) == ("valid", False)
    assert second.changes == first.changes
    recorded = show_campaign(campaign, NAME).edit
    assert recorded is not None
    assert recorded.kind == "valid"
    done = publish_draft(campaign, NAME, PublishOptions(now=NOW, settings=REPORT))
    assert (done.status, done.version) == ("published", 2)
    assert looked_at(campaign) == []
    assert show_campaign(campaign, NAME).edit is None
    wait = stored(
        campaign,
        "SELECT n.v -> 'config' FROM campaign_versions, jsonb_array_elements(compiled_graph ->"
        " 'nodes') n (v) WHERE version = 2 AND n.v ->> 'node_id' = 'rest'",
    )
    assert (wait["value"], wait["unit"]) == (1, "days")
    with pytest.raises(NotAllowed, match="no unpublished external changes"):
        publish_draft(campaign, NAME, PublishOptions(now=NOW, settings=REPORT))


def test_an_edit_that_is_taken_back_is_forgotten(campaign):
    before = stored(campaign, "SELECT wait_config FROM campaign_steps WHERE node_id = 'rest'")
    shorter_rest(campaign)
    assert len(looked_at(campaign)) == 1
    rewritten(campaign, "rest", wait_config=before)
    assert looked_at(campaign) == []
    assert stored(campaign, "SELECT count(*) FROM campaign_edits") == 0


def test_an_edit_made_on_the_canvas_alone_is_one(campaign):
    def renewed(canvas: Canvas) -> None:
        text = {"email": {"subject": "Drawn", "body": "On the canvas"}}
        node(canvas, "hello")["data"]["config"] = {"channel_config": text}

    drawn(campaign, renewed)
    (edit,) = looked_at(campaign)
    assert edit.status == "valid"
    publish_draft(campaign, NAME, PublishOptions(now=NOW, settings=REPORT))
    subject = stored(campaign, "SELECT subject_line FROM campaign_steps WHERE node_id = 'hello'")
    assert subject == "Drawn"
    assert looked_at(campaign) == []


def test_an_edit_that_is_not_valid_is_told_with_the_names_of_its_steps_and_never_published(
    campaign,
):
    def cut(canvas: Canvas) -> None:
        canvas["edges"] = [edge for edge in canvas["edges"] if edge["target"] != "thanks"]

    drawn(campaign, cut)
    rewritten(campaign, "rest", wait_config={"type": "duration", "value": -1, "unit": "days"})
    for settings, is_new in ((PUBLISH, True), (PUBLISH, False)):
        (edit,) = looked_at(campaign, settings)
        assert (edit.status, edit.is_new) == ("invalid", is_new)
    assert ("rest", "Wait rest") in {(p["node_id"], p["step"]) for p in edit.problems}
    assert len(edit.problems) > 1
    shown = show_campaign(campaign, NAME).edit
    assert shown is not None
    assert shown.problems == edit.problems
    with pytest.raises(DefinitionInvalid):
        publish_draft(campaign, NAME, PublishOptions(now=NOW, settings=REPORT))
    assert stored(campaign, "SELECT published_version FROM drip_campaigns") == 1


def test_where_edits_are_published_one_goes_out_when_it_has_stood_still_for_a_look(campaign):
    shorter_rest(campaign)
    (first,) = looked_at(campaign, PUBLISH)
    assert first.status == "valid"
    rewritten(campaign, "tail", wait_config={"type": "duration", "value": 2, "unit": "days"})
    (second,) = looked_at(campaign, PUBLISH)
    assert (second.status, second.is_new) == ("valid", True)
    (third,) = looked_at(campaign, PUBLISH)
    assert (third.status, third.version) == ("published", 2)
    assert looked_at(campaign, PUBLISH) == []


def test_a_file_does_not_write_over_an_edit_unless_it_says_so(campaign):
    shorter_rest(campaign)
    with pytest.raises(UnpublishedEdit, match="1 delay changed"):
        from_file(campaign, version_2())
    assert stored(campaign, "SELECT max(version) FROM campaign_versions") == 1
    assert from_file(campaign, version_1()).status == "unchanged"
    assert len(looked_at(campaign)) == 1
    done = from_file(campaign, version_2(), overwrites_draft=True)
    assert done.version == 3
    kept = stored(
        campaign, "SELECT steps_snapshot FROM campaign_versions WHERE change_type = 'draft'"
    )
    (rest,) = (step for step in kept if step["node_id"] == "rest")
    assert rest["wait_config"]["value"] == 1
    assert looked_at(campaign) == []


def test_publishing_what_is_published_over_an_edit_takes_the_edit_back(campaign):
    shorter_rest(campaign)
    done = from_file(campaign, version_1(), overwrites_draft=True)
    assert (done.status, done.version) == ("unchanged", 1)
    assert looked_at(campaign) == []
    rest = stored(campaign, "SELECT wait_config FROM campaign_steps WHERE node_id = 'rest'")
    assert rest["value"] == 3


def test_the_edit_itself_may_be_published_as_a_file(campaign):
    shorter_rest(campaign)
    exported = json.loads(json.dumps(export_file(campaign, NAME).file))
    assert from_file(campaign, exported).version == 2
    assert looked_at(campaign) == []


def test_what_counting_writes_into_the_tables_is_no_edit(campaign):
    with campaign.transaction() as connection:
        connection.execute(
            "UPDATE drip_campaigns SET metrics = '{\"sent\": 1}', updated_at = %s",
            [NOW + timedelta(days=1)],
        )
        connection.execute("UPDATE campaign_steps SET metrics = '{\"sent\": 1}'")
    assert looked_at(campaign) == []
