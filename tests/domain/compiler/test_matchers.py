"""Matchers of events in campaign files: what publishing reports, exports and describes."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.definition.campaign_file import load_definition
from drip_pipeline.domain.definition.complete import complete
from drip_pipeline.domain.diff import describe
from drip_pipeline.domain.graph.graph import CampaignGraph
from tests.domain.campaign_files import email_step, problems

WHERE = {"type": "field", "field": "value", "operator": ">", "value": 100}


def waiting(config: dict[str, Any], *, trigger: str = "manual", **campaign: Any) -> dict[str, Any]:
    steps = [
        {"node_id": "m1", **email_step()},
        {
            "node_id": "w",
            "node_type": "wait",
            "wait_config": {"type": "until_event", **config},
        },
        {"node_id": "m2", **email_step()},
    ]
    if trigger == "tag":
        entry = {"trigger": "tag", "tag": "new"}
        steps.insert(0, {"node_id": "t", "node_type": "trigger", "trigger_config": entry})
    return {"name": "Waiting", "steps": steps, **campaign}


def codes(file: dict[str, Any]) -> list[tuple[str, str]]:
    return [(p.code, p.severity) for p in problems(file)]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"event_type": "purchase", "where": WHERE}, []),
        ({"event_type": "email_opened", "of": {"node": "m1"}}, []),
        ({"event_type": "email_opened", "of": {"node": "m9"}}, [("matcher_of", "error")]),
        ({"event_type": "sms_replied", "of": {"node": "m1"}}, [("matcher_of", "error")]),
        ({"event_type": "purchase", "of": {"node": "m1"}}, [("matcher_of", "error")]),
        ({"event_type": "purchase", "url": "https://x.example"}, [("matcher_url", "error")]),
        ({"event_type": "purchase", "match": {"id": "id"}}, [("matcher_match", "error")]),
        ({"event_type": "purchase", "count": {"operator": "<", "value": 2}},
         [("matcher_count", "error")]),
        ({"event_type": "purchase", "where": {**WHERE, "value": ""}},
         [("condition_never_matches", "warning")]),
        ({"event_type": "purchase", "where": {"type": "tag", "value": "x"}},
         [("matcher_where", "error")]),
        ({}, [("config_missing", "error")]),
        ({"event_type": "purchase", "events": [{"id": "a", "event_type": "purchase"}]},
         [("wait_events", "error")]),
        ({"events": [{"id": "timeout", "event_type": "purchase"}]}, [("wait_events", "error")]),
        ({"events": [{"id": "a", "event_type": "purchase"}] * 2}, [("wait_events", "error")]),
        ({"events": [{"event_type": "purchase"}]}, [("config_missing", "error")]),
    ],
)  # fmt: skip
def test_matchers_of_waits_are_validated(config: Any, expected: Any) -> None:
    reported = codes(waiting(config))
    assert [item for item in reported if item[0] != "unreachable"][: len(expected) or None] == (
        expected
    )


def test_entry_data_that_no_run_has_is_a_warning() -> None:
    config = {"event_type": "purchase", "match": {"order_id": "entry.order_id"}}
    assert codes(waiting(config)) == []
    assert ("matcher_match", "warning") in codes(waiting(config, trigger="tag"))


def test_a_goal_has_a_condition_on_properties_and_entry_data_and_no_other_keys() -> None:
    config = {"event_type": "purchase"}
    goal: dict[str, Any] = {"event_type": "purchase", "where": WHERE}
    assert codes(waiting(config, goal_event=goal)) == []
    assert codes(waiting(config, goal_event={**goal, "match": {"id": "entry.id"}})) == []
    for refused in ({"count": {"value": 2}}, {"of": "any"}, {"machines": True}):
        assert codes(waiting(config, goal_event=goal | refused)) == [("goal_event_key", "error")]


SEVERAL: dict[str, Any] = {
    "events": [
        {"id": "large", "event_type": "purchase", "where": WHERE},
        {"id": "clicked", "event_type": "email_clicked", "url": "https://example.com/a"},
    ],
    "max_wait": {"value": 3, "unit": "days"},
}


def test_a_wait_for_several_events_has_a_port_for_each() -> None:
    definition = load_definition(waiting(SEVERAL))
    graph = compile_graph(definition, {})
    assert set(graph.nodes["w"].ports) == {"large", "clicked", "timeout"}
    assert graph.waits_for() == {"purchase", "email_clicked"}
    assert CampaignGraph.from_dict(graph.to_dict()) == graph
    exported = load_definition(complete(definition).to_dict())
    assert compile_graph(exported, {}) == graph


def test_a_graph_of_an_earlier_release_is_read() -> None:
    graph = compile_graph(load_definition(waiting({"event_type": "purchase"})), {})
    stored = graph.to_dict()
    (wait,) = [node for node in stored["nodes"] if node["node_id"] == "w"]
    assert set(wait["config"]) == {"type", "event_type", "max_wait"}
    assert CampaignGraph.from_dict(stored) == graph


SEVERAL_TEXT = (
    "until purchase where value is more than 100 or email_clicked on https://example.com/a,"
    " 3 days at most"
)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"event_type": "purchase"}, "until purchase"),
        (SEVERAL, SEVERAL_TEXT),
        ({"event_type": "email_opened", "of": {"node": "m1"}, "count": {"value": 2},
          "within": {"value": 1, "unit": "days"}, "machines": True},
         "until email_opened of m1, at least 2 times within 1 day, also by machines"),
        ({"event_type": "purchase", "match": {"id": "entry.id"}, "of": "any"},
         "until purchase with id as entry.id at any time"),
    ],
)  # fmt: skip
def test_a_matcher_is_described(config: Any, text: str) -> None:
    assert describe.wait({"type": "until_event", **config}) == text
