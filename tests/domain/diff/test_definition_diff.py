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
    """A copy of an example to be edited, and what the edit is told as."""

    def __init__(self, name: str) -> None:
        self.before = example(name)
        self.file = copy.deepcopy(self.before)
        self.steps = {step["node_id"]: step for step in self.file["steps"]}
        canvas = self.file.get("canvas_data", {"nodes": [], "edges": []})
        self.nodes = {node["id"]: node for node in canvas["nodes"]}
        self.edges = {edge["id"]: edge for edge in canvas["edges"]}

    def told(self) -> list[tuple[str, str | None, str]]:
        found = compared(self.before, self.file)
        assert not found.canvas, found.canvas
        return [(change.kind, change.node_id, change.sentence) for change in found.changes]


@pytest.fixture
def winback() -> Edit:
    return Edit("winback")


def test_a_wait_is_told_as_lengths_of_time(winback):
    winback.steps["days_to_answer"]["wait_config"] = {"type": "duration", "value": 1, "unit": "day"}
    assert winback.told() == [("delay", "days_to_answer", "wait 5 days → 1 day")]


def test_the_longest_wait_for_an_event_is_told(winback):
    winback.steps["reaction"]["wait_config"]["max_wait"] = {"value": 2, "unit": "weeks"}
    assert winback.told() == [
        (
            "delay",
            "reaction",
            "wait until email_clicked, 3 days at most → until email_clicked, 2 weeks at most",
        )
    ]


def test_a_condition_is_told_in_words(winback):
    branch = winback.steps["worth_it"]["conditional_branches"][0]
    branch["condition"] = {"type": "score", "operator": ">=", "value": 70}
    was = "has the tag vip or (score is at least 60 and status is one of lead, customer)"
    said = f"branch “good_customer”: if {was} → if score is at least 70"
    assert winback.told() == [("branch", "worth_it", said)]


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
    told = [("step_renamed", "thanks", "renamed: “Here is what is new” → “News”")]
    assert winback.told() == told


def test_a_step_that_is_taken_out_is_told_once(winback):
    winback.file["steps"].remove(winback.steps["warmer"])
    winback.file["canvas_data"]["nodes"].remove(winback.nodes["warmer"])
    winback.file["canvas_data"]["edges"].remove(winback.edges["e6"])
    winback.edges["e4"]["target"] = "thanks"
    assert winback.told() == [
        (
            "step_removed",
            "warmer",
            "action removed; it stood after “Wait for a click” (event)",
        )
    ]


def test_a_step_that_comes_in_between_is_told_once(winback):
    node = {"id": "pause", "type": "wait", "position": {"x": 1, "y": 1}, "data": {}}
    winback.file["canvas_data"]["nodes"].append(node)
    winback.edges["e10"]["target"] = "pause"
    new = {"id": "e16", "source": "pause", "target": "days_to_answer"}
    winback.file["canvas_data"]["edges"].append(new)
    wait = {"type": "duration", "value": 1, "unit": "hours"}
    winback.file["steps"].append({"node_id": "pause", "node_type": "wait", "wait_config": wait})
    assert winback.told() == [("step_added", "pause", "new wait (1 hour), after “Offer”")]


def test_a_step_that_changes_its_branch_is_moved(winback):
    edges = winback.edges  # the score goes up after the thanks, not before
    edges["e4"]["target"], edges["e6"]["source"], edges["e6"]["target"] = (
        "thanks",
        "thanks",
        "warmer",
    )
    edges["e7"]["source"] = "warmer"
    kinds = [(kind, node) for kind, node, _ in winback.told()]
    assert kinds in ([("step_moved", "warmer")], [("step_moved", "thanks")])


def test_a_way_that_leads_elsewhere_is_told_as_a_way(winback):
    winback.edges["e13"]["target"] = "dormant"
    winback.steps["bought"]["conditional_branches"][1]["target_node_id"] = "dormant"
    assert winback.told() == [
        ("route", "bought", "“else” leads to “Let them rest”, no longer to “Score -10”")
    ]


def test_a_delay_on_a_line_is_no_matter_of_drawing(winback):
    winback.edges["e6"]["data"] = {"delay": {"value": 90, "unit": "minutes"}}
    assert winback.told() == [("delay", "warmer", "delay on the way on: 0 seconds → 90 minutes")]


def test_goal_entry_and_settings_are_the_campaigns(winback):
    winback.file |= {"goal_target": 7.5, "re_entry": "once", "tags": ["example", "autumn"]}
    assert winback.told() == [
        ("entry", None, "people may enter: again 90 days after the end → once"),
        ("goal", None, "goal target: 5 → 7.5"),
        ("setting", None, "tags: example → example, autumn"),
    ]


def test_weights_and_what_a_test_asks_for_are_told():
    test = Edit("subject_test")
    config = test.file["ab_test_config"]
    first, second = config["variants"][:2]
    first["percentage"], second["percentage"] = 70, 30
    wanted, config["minimum_sample_size"] = config["minimum_sample_size"], 12_345
    told = test.told()
    assert ("weight", f"variant “{first['id']}”: 50 % → 70 %") in [(k, s) for k, _, s in told]
    assert [s for k, _, s in told if k == "test"] == [
        f"people asked for in each variant: {wanted} → 12,345"
    ]


def test_what_is_only_drawn_elsewhere_stands_apart(winback):
    winback.nodes["offer"]["position"] = {"x": 5, "y": 6}
    winback.nodes["offer"]["style"] = {"color": "red"}
    winback.file["canvas_data"]["viewport"]["zoom"] = 2
    found = compared(winback.before, winback.file)
    assert found.changes == ()
    assert [change.sentence for change in found.canvas] == [
        "moved from 1000, 300 to 5, 6",
        "style color: nothing → “red”",
        "the view (place and zoom)",
    ]
    assert found.summary() == "3 on the canvas only"


def test_a_step_that_only_got_another_id_is_renamed_and_not_lost():
    before = example("onboarding")
    after = copy.deepcopy(before)
    step = after["steps"][0]
    was, step["node_id"] = step["node_id"], "another_id"
    found = compared(before, after)
    assert [(c.kind, c.before, c.after) for c in found.changes] == [
        ("step_renamed", was, "another_id")
    ]


def test_blocks_that_change_places_are_moves_and_no_heap_of_ways():
    def chain(*nodes: str) -> dict[str, dict[str, str]]:
        return {a: {"default": b} for a, b in zip(nodes, [*nodes[1:], ""], strict=True)}

    found = compare_flows(chain(*"sabcdefghz"), chain(*"sefghabcdz"))
    assert (len(found.moved), found.routes) == (4, ())


def test_a_flow_of_a_thousand_steps_is_compared_within_seconds():
    nodes = [f"n{n}" for n in range(1_000)]
    before = {a: {"default": b} for a, b in itertools.pairwise(nodes)} | {nodes[-1]: {}}
    turned = [*nodes[:300], *reversed(nodes[300:600]), *nodes[600:]]
    after = {a: {"default": b} for a, b in itertools.pairwise(turned)} | {nodes[-1]: {}}
    started = time.process_time()
    found = compare_flows(before, after)
    assert (len(found.moved), found.routes) == (299, ())
    assert time.process_time() - started < 3


def test_what_a_header_says_is_not_told(winback):
    def file(token: str) -> Any:
        told = copy.deepcopy(winback.before)
        for step in told["steps"]:
            if step["node_id"] == "mark":
                hook = {"url": "https://hooks.example.com", "headers": {"Authorization": token}}
                step["action_config"] = {"type": "webhook", "webhook": hook}
        return told

    found = compared(file("Bearer one"), file("Bearer two"))
    (change,) = found.changes
    assert change.sentence == "webhook headers Authorization: changed"
    assert "Bearer" not in str(found.to_dict())


def test_a_text_of_a_hundred_thousand_words_is_compared_quickly():
    before = "word " * 100_000
    pieces = compare_texts(before, before.replace("word", "wort"))
    assert [piece.kind for piece in pieces] == ["removed", "added"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (None, "everybody else"),
        ({"type": "event", "event_type": "email_open"}, "email_opened"),
        ({"type": "event", "operator": "!=", "event_type": "purchase"}, "no purchase"),
        ({"type": "tag", "operator": "!=", "value": "vip"}, "has not the tag vip"),
        ({"type": "tag", "operator": "in", "value": ["a", "b"]}, "has one of the tags a, b"),
        ({"type": "field", "field": "plan", "operator": "!=", "value": "x"}, "plan is not “x”"),
        ({"type": "time", "field": "hour", "operator": ">=", "value": 9}, "the hour is at least 9"),
        ({"type": "nonsense"}, '{"type": "nonsense"}'),
    ],
)
def test_conditions_in_words(told, words):
    assert condition(told) == words


def test_lengths_of_time_in_words():
    assert [duration(1, "days"), duration(1.5, "hour"), seconds(7_200), seconds(61)] == [
        "1 day",
        "1.5 hours",
        "2 hours",
        "61 seconds",
    ]
