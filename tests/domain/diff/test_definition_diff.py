from __future__ import annotations

import copy
import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from drip_pipeline.domain.compiler.api import load_definition
from drip_pipeline.domain.diff.changes import DefinitionDiff
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.domain.diff.describe import condition, duration, seconds
from drip_pipeline.domain.diff.flow_diff import compare_flows
from drip_pipeline.domain.diff.text_diff import compare_texts
from drip_pipeline.settings import CHECKOUT

EXAMPLES = CHECKOUT / "examples"


def example(name: str) -> Any:
    return yaml.safe_load(Path(EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))


def compared(before: Any, after: Any) -> DefinitionDiff:
    return compare_definitions(load_definition(before), load_definition(after))


class Edit:
    """A copy of an example to be edited."""

    def __init__(self, name: str) -> None:
        self.before = example(name)
        self.file = copy.deepcopy(self.before)
        self.steps = {step["node_id"]: step for step in self.file["steps"]}
        canvas = self.file.get("canvas_data", {"nodes": [], "edges": []})
        self.nodes = {node["id"]: node for node in canvas["nodes"]}
        self.edges = {edge["id"]: edge for edge in canvas["edges"]}

    def changes(self) -> list[tuple[str, str | None, str]]:
        diff = compared(self.before, self.file)
        assert not diff.canvas, diff.canvas
        return [(change.kind, change.node_id, change.sentence) for change in diff.changes]


@pytest.fixture
def winback() -> Edit:
    return Edit("winback")


def test_a_changed_wait_is_described_as_durations(winback):
    winback.steps["days_to_answer"]["wait_config"] = {"type": "duration", "value": 1, "unit": "day"}
    assert winback.changes() == [("delay", "days_to_answer", "wait 5 days → 1 day")]


def test_the_maximum_wait_for_an_event_is_described(winback):
    winback.steps["reaction"]["wait_config"]["max_wait"] = {"value": 2, "unit": "weeks"}
    assert winback.changes() == [
        (
            "delay",
            "reaction",
            "wait until email_clicked, 3 days at most → until email_clicked, 2 weeks at most",
        )
    ]


def test_a_changed_condition_is_described(winback):
    branch = winback.steps["worth_it"]["conditional_branches"][0]
    branch["condition"] = {"type": "score", "operator": ">=", "value": 70}
    was = "has the tag vip or (score is at least 60 and status is one of lead, customer)"
    sentence = f"branch “good_customer”: if {was} → if score is at least 70"
    assert winback.changes() == [("branch", "worth_it", sentence)]


def test_texts_are_compared_word_by_word(winback):
    email = winback.steps["offer"]["channel_config"]["email"]
    email["subject"] = email["subject"].replace("Ten per cent", "Twenty per cent")
    (change,) = compared(winback.before, winback.file).changes
    assert (change.kind, change.step, change.sentence) == ("text", "Offer", "subject changed")
    assert [(p.kind, p.text) for p in change.pieces[:2]] == [
        ("removed", "Ten "),
        ("added", "Twenty "),
    ]


def test_a_name_that_changes_on_step_and_canvas_is_one_change(winback):
    winback.steps["thanks"]["step_name"] = winback.nodes["thanks"]["data"]["label"] = "News"
    expected = [("step_renamed", "thanks", "renamed: “Here is what is new” → “News”")]
    assert winback.changes() == expected


def test_a_removed_step_is_one_change(winback):
    winback.file["steps"].remove(winback.steps["warmer"])
    winback.file["canvas_data"]["nodes"].remove(winback.nodes["warmer"])
    winback.file["canvas_data"]["edges"].remove(winback.edges["e6"])
    winback.edges["e4"]["target"] = "thanks"
    assert winback.changes() == [
        (
            "step_removed",
            "warmer",
            "action removed; it was after “Wait for a click” (event)",
        )
    ]


def test_an_inserted_step_is_one_change(winback):
    node = {"id": "pause", "type": "wait", "position": {"x": 1, "y": 1}, "data": {}}
    winback.file["canvas_data"]["nodes"].append(node)
    winback.edges["e10"]["target"] = "pause"
    new = {"id": "e16", "source": "pause", "target": "days_to_answer"}
    winback.file["canvas_data"]["edges"].append(new)
    wait = {"type": "duration", "value": 1, "unit": "hours"}
    winback.file["steps"].append({"node_id": "pause", "node_type": "wait", "wait_config": wait})
    assert winback.changes() == [("step_added", "pause", "new wait (1 hour), after “Offer”")]


def test_a_step_on_another_branch_is_moved(winback):
    edges = winback.edges  # the score changes after the thanks, not before
    edges["e4"]["target"], edges["e6"]["source"], edges["e6"]["target"] = (
        "thanks",
        "thanks",
        "warmer",
    )
    edges["e7"]["source"] = "warmer"
    kinds = [(kind, node) for kind, node, _ in winback.changes()]
    assert kinds in ([("step_moved", "warmer")], [("step_moved", "thanks")])


def test_an_edge_with_another_target_is_a_changed_route(winback):
    winback.edges["e13"]["target"] = "dormant"
    winback.steps["bought"]["conditional_branches"][1]["target_node_id"] = "dormant"
    assert winback.changes() == [
        ("route", "bought", "“else” leads to “Let them rest”, no longer to “Score -10”")
    ]


def test_the_delay_of_an_edge_is_not_a_layout_change(winback):
    winback.edges["e6"]["data"] = {"delay": {"value": 90, "unit": "minutes"}}
    assert winback.changes() == [
        ("delay", "warmer", "delay of the outgoing edge: 0 seconds → 90 minutes")
    ]


def test_goal_entry_and_settings_belong_to_the_campaign(winback):
    winback.file |= {"goal_target": 7.5, "re_entry": "once", "tags": ["example", "autumn"]}
    assert winback.changes() == [
        ("entry", None, "re-entry: again 90 days after the end → once"),
        ("goal", None, "goal target: 5 → 7.5"),
        ("setting", None, "tags: example → example, autumn"),
    ]


def test_changed_weights_and_test_settings_are_described():
    test = Edit("subject_test")
    config = test.file["ab_test_config"]
    first, second = config["variants"][:2]
    first["percentage"], second["percentage"] = 70, 30
    before, config["minimum_sample_size"] = config["minimum_sample_size"], 12_345
    changes = test.changes()
    assert ("weight", f"variant “{first['id']}”: 50 % → 70 %") in [(k, s) for k, _, s in changes]
    assert [s for k, _, s in changes if k == "test"] == [
        f"minimum sample size of each variant: {before} → 12,345"
    ]


def test_layout_changes_are_listed_separately(winback):
    winback.nodes["offer"]["position"] = {"x": 5, "y": 6}
    winback.nodes["offer"]["style"] = {"color": "red"}
    winback.file["canvas_data"]["viewport"]["zoom"] = 2
    diff = compared(winback.before, winback.file)
    assert diff.changes == ()
    assert [change.sentence for change in diff.canvas] == [
        "moved from 1000, 300 to 5, 6",
        "style color: nothing → “red”",
        "viewport",
    ]
    assert diff.summary() == "3 layout changes"


def test_a_step_with_another_id_is_renamed():
    before = example("onboarding")
    after = copy.deepcopy(before)
    step = after["steps"][0]
    was, step["node_id"] = step["node_id"], "another_id"
    diff = compared(before, after)
    assert [(c.kind, c.before, c.after) for c in diff.changes] == [
        ("step_renamed", was, "another_id")
    ]


def test_swapped_blocks_are_moves_and_not_changed_routes():
    def chain(*nodes: str) -> dict[str, dict[str, str]]:
        return {a: {"default": b} for a, b in zip(nodes, [*nodes[1:], ""], strict=True)}

    diff = compare_flows(chain(*"sabcdefghz"), chain(*"sefghabcdz"))
    assert (len(diff.moved), diff.routes) == (4, ())


def test_a_flow_of_a_thousand_steps_is_compared_within_seconds():
    nodes = [f"n{n}" for n in range(1_000)]
    before = {a: {"default": b} for a, b in itertools.pairwise(nodes)} | {nodes[-1]: {}}
    turned = [*nodes[:300], *reversed(nodes[300:600]), *nodes[600:]]
    after = {a: {"default": b} for a, b in itertools.pairwise(turned)} | {nodes[-1]: {}}
    started = time.process_time()
    diff = compare_flows(before, after)
    assert (len(diff.moved), diff.routes) == (299, ())
    assert time.process_time() - started < 3


def test_the_value_of_a_header_is_masked(winback):
    def file(token: str) -> Any:
        changed = copy.deepcopy(winback.before)
        for step in changed["steps"]:
            if step["node_id"] == "mark":
                hook = {"url": "https://hooks.example.com", "headers": {"Authorization": token}}
                step["action_config"] = {"type": "webhook", "webhook": hook}
        return changed

    diff = compared(file("Bearer one"), file("Bearer two"))
    (change,) = diff.changes
    assert change.sentence == "webhook headers Authorization: changed"
    assert "Bearer" not in str(diff.to_dict())


def test_a_text_of_a_hundred_thousand_words_is_compared_quickly():
    before = "word " * 100_000
    pieces = compare_texts(before, before.replace("word", "wort"))
    assert [piece.kind for piece in pieces] == ["removed", "added"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (None, "all others"),
        ({"type": "event", "event_type": "email_open"}, "email_opened"),
        ({"type": "event", "operator": "!=", "event_type": "purchase"}, "no purchase"),
        ({"type": "tag", "operator": "!=", "value": "vip"}, "does not have the tag vip"),
        ({"type": "tag", "operator": "in", "value": ["a", "b"]}, "has one of the tags a, b"),
        ({"type": "field", "field": "plan", "operator": "!=", "value": "x"}, "plan is not “x”"),
        ({"type": "time", "field": "hour", "operator": ">=", "value": 9}, "the hour is at least 9"),
        ({"type": "nonsense"}, '{"type": "nonsense"}'),
    ],
)
def test_conditions_are_described(raw, text):
    assert condition(raw) == text


def test_durations_are_described():
    assert [duration(1, "days"), duration(1.5, "hour"), seconds(7_200), seconds(61)] == [
        "1 day",
        "1.5 hours",
        "2 hours",
        "61 seconds",
    ]
