from __future__ import annotations

import json
from typing import Any

import pytest

from drip_pipeline.domain.compiler.api import complete, export_definition, load_definition
from drip_pipeline.domain.compiler.compile import compile_graph, definition_hash, graph_hash
from drip_pipeline.errors import DefinitionInvalid
from tests.domain.campaign_files import File, ab_test, branching, edge, linear, step
from tests.domain.definition.stored_rows import rows_of


@pytest.mark.parametrize("file", [linear(), branching(), ab_test()])
def test_an_export_is_the_file_that_was_published(file: File) -> None:
    definition = load_definition(file)
    exported = export_definition(*rows_of(definition))
    assert exported == complete(definition).to_dict()
    assert definition_hash(load_definition(exported)) == definition_hash(definition)
    assert compile_graph(load_definition(exported), {}) == compile_graph(definition, {})


def test_a_file_with_a_canvas_is_exported_unchanged() -> None:
    file = branching()
    exported = export_definition(*rows_of(load_definition(file)))
    assert exported["canvas_data"] == file["canvas_data"]
    assert exported["campaign_type"] == "branching"
    assert [s["node_id"] for s in exported["steps"]] == [s["node_id"] for s in file["steps"]]


def test_an_export_contains_no_uuids_of_the_database() -> None:
    file = ab_test()
    step(file, "short").update(variant_group="a", parent_split_id="arms")
    campaign, steps = rows_of(load_definition(file))
    text = json.dumps(export_definition(campaign, steps))
    assert not any(row["id"] in text for row in steps)
    assert str(campaign["id"]) not in text


def test_settings_without_a_column_are_exported() -> None:
    goal = {"event_type": "order", "within": {"value": 2, "unit": "week"}}
    file = linear() | {"re_entry": {"after_days": 30}, "timezone": "UTC", "tags": ["a", "b"]}
    file["goal_event"] = goal
    exported = export_definition(*rows_of(load_definition(file)))
    assert (exported["re_entry"], exported["timezone"]) == ({"after_days": 30}, "UTC")
    assert exported["tags"] == ["a", "b"]
    weeks = {"value": 2, "unit": "weeks"}
    assert exported["goal_event"] == {"event_type": "purchase", "within": weeks}


def test_json_columns_returned_as_text_are_read() -> None:
    definition = load_definition(ab_test())
    campaign, steps = rows_of(definition)
    for key in ("canvas_data", "ab_test_config", "drip_settings"):
        campaign[key] = json.dumps(campaign[key])
    for row in steps:
        row["channel_config"] = json.dumps(row["channel_config"])
    assert export_definition(campaign, steps) == complete(definition).to_dict()


def test_the_workspace_does_not_affect_the_hash() -> None:
    file = linear()
    here = load_definition(file | {"workspace": "Here"})
    assert definition_hash(here) == definition_hash(load_definition(file))
    exported = export_definition(*rows_of(here), workspace="There")
    assert exported["workspace"] == "There"


@pytest.mark.parametrize(
    ("change", "graph_changes"),
    [
        (lambda f: f.update(description="Else"), False),
        (lambda f: f.update(tags=["x"]), False),
        (lambda f: step(f, "offer").update(step_name="Else"), False),
        (lambda f: f["canvas_data"]["nodes"][0].update(position={"x": 9, "y": 9}), False),
        (lambda f: f["canvas_data"]["viewport"].update(zoom=2), False),
        (lambda f: f["canvas_data"]["nodes"][0]["data"].update(color="red"), False),
        (lambda f: step(f, "offer")["channel_config"]["email"].update(body="Else"), True),
        (lambda f: edge(f, "news", "end").update(target="offer"), True),
        (lambda f: f.update(re_entry="after_exit"), True),
        (lambda f: f.update(goal_event={"event_type": "purchase"}), True),
        (lambda f: f.update(timezone="Europe/Berlin"), True),
        (lambda f: edge(f, "news", "end").update(data={"delay": {"value": 1}}), True),
    ],
)
def test_every_change_affects_the_definition_hash_and_execution_also_the_graph_hash(
    change: Any, graph_changes: bool
) -> None:
    before, after = load_definition(branching()), branching()
    change(after)
    changed = load_definition(after)
    assert definition_hash(changed) != definition_hash(before)
    assert (graph_hash(changed) != graph_hash(before)) is graph_changes


def test_the_test_itself_affects_execution() -> None:
    after = ab_test()
    after["ab_test_config"]["confidence_threshold"] = 99
    assert graph_hash(load_definition(after)) != graph_hash(load_definition(ab_test()))


def test_completed_defaults_do_not_change_the_hash() -> None:
    bare = linear()
    completed = complete(load_definition(bare)).to_dict()
    assert completed != bare
    assert definition_hash(load_definition(completed)) == definition_hash(load_definition(bare))


def test_an_invalid_graph_has_no_hash() -> None:
    with pytest.raises(DefinitionInvalid):
        graph_hash(load_definition({"name": "x"}))


def test_edits_of_another_application_on_the_canvas_are_read() -> None:
    definition = load_definition(branching())
    campaign, steps = rows_of(definition)
    canvas = campaign["canvas_data"]
    canvas["nodes"].append(
        {"id": "extra", "type": "email", "data": {"config": {"subject": "Hi", "body": "New"}}}
    )
    edge({"canvas_data": canvas}, "news", "end")["target"] = "extra"
    edited = load_definition(export_definition(campaign, steps))
    graph = compile_graph(edited, {})
    assert graph.nodes["news"].ports["default"].target == "extra"
    assert definition_hash(edited) != definition_hash(definition)
