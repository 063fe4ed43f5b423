from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from drip_pipeline.domain.compiler.api import complete, load_definition
from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.graph.graph import Edge
from drip_pipeline.domain.graph.nodes import EmailConfig
from tests.domain.campaign_files import (
    File,
    ab_test,
    branching,
    codes,
    edge,
    email_step,
    mail,
    problems,
    step,
    wait_step,
    with_canvas,
)

STEP_ID = "5f0c1a52-0000-4000-8000-000000000001"


def ports(file: File, node_id: str) -> dict[str, str]:
    assert errors_in(problems(file)) == []
    graph = compile_graph(load_definition(file), {})
    return {port: edge.target for port, edge in graph.nodes[node_id].ports.items()}


def waiting(*edges: tuple[Any, ...]) -> File:
    wait = {"type": "until_event", "event_type": "email_opened"}
    return with_canvas(
        "branching",
        {
            "start": {"node_type": "trigger"},
            "w": {"node_type": "wait", "wait_config": wait},
            "yes": email_step(),
            "no": email_step(),
        },
        [("start", "w"), *edges],
    )


def test_additional_keys_of_the_builder_are_kept() -> None:
    file = branching()
    file["canvas_data"] |= {"theme": {"dark": True}}
    file["canvas_data"]["nodes"][1] |= {"selected": True, "measured": {"width": 12.5}, "zIndex": -1}
    file["canvas_data"]["nodes"][1]["data"]["icon"] = "🙂"
    file["canvas_data"]["edges"][0] |= {"animated": True, "sourceHandle": None, "style": {}}
    assert complete(load_definition(file)).canvas_data == file["canvas_data"]


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ({"sourceHandle": "yes"}, {"sourceHandle": "no"}),
        ({"sourceHandle": "true"}, {"sourceHandle": "false"}),
        ({"type": "conditional-true"}, {"type": "conditional-false"}),
        ({"sourceHandle": "YES"}, {"sourceHandle": "else"}),
        (
            {"sourceHandle": "yes", "type": "conditional-false"},
            {"type": "conditional-true", "sourceHandle": "no"},
        ),
        ({"label": "yes"}, {"label": "no"}),
        ({}, {}),
        ({"sourceHandle": "source"}, {"sourceHandle": "default", "type": "smoothstep"}),
        ({"sourceHandle": "no-such-handle"}, {"sourceHandle": "other"}),
    ],
)
def test_an_edge_finds_its_branch_by_handle_then_type_then_target(true: File, false: File) -> None:
    file = branching()
    edge(file, "rich", "offer").update(true, sourceHandle=true.get("sourceHandle"))
    edge(file, "rich", "news").update(false, sourceHandle=false.get("sourceHandle"))
    assert ports(file, "rich") == {"yes": "offer", "no": "news"}


def test_edges_without_a_sign_are_assigned_in_order() -> None:
    file = branching()
    for branch in step(file, "rich")["conditional_branches"]:
        del branch["target_node_id"]
    for target in ("offer", "news"):
        edge(file, "rich", target).pop("sourceHandle")
    assert ports(file, "rich") == {"yes": "offer", "no": "news"}
    file["canvas_data"]["edges"].reverse()
    assert ports(file, "rich") == {"yes": "news", "no": "offer"}


def test_the_handle_takes_precedence_over_the_order() -> None:
    file = branching()
    file["canvas_data"]["edges"].reverse()
    assert ports(file, "rich") == {"yes": "offer", "no": "news"}


def test_an_event_wait_has_two_outgoing_ports() -> None:
    by_handle = waiting(("w", "no", "timeout"), ("w", "yes", "event"))
    assert ports(by_handle, "w") == {"event": "yes", "timeout": "no"}
    by_order = waiting(("w", "yes"), ("w", "no"))
    assert ports(by_order, "w") == {"event": "yes", "timeout": "no"}


def test_a_single_edge_of_an_event_wait_serves_both_ports() -> None:
    file = waiting(("w", "yes"), ("yes", "no"))
    assert ports(file, "w") == {"event": "yes", "timeout": "yes"}


def test_an_edge_can_have_a_delay() -> None:
    file = branching()
    edge(file, "offer", "end")["data"] = {"delay": {"value": 2, "unit": "hours"}}
    graph = compile_graph(load_definition(file), {})
    assert graph.nodes["offer"].ports == {"default": Edge("end", 7200)}
    edge(file, "offer", "end")["data"] = {"delay": {"value": -2, "unit": "hours"}}
    assert codes(file) == {("offer", "edge_delay")}


def test_steps_are_also_bound_by_step_id() -> None:
    file = branching()
    offer = step(file, "offer")
    del offer["node_id"]
    offer["id"] = STEP_ID
    file["canvas_data"]["nodes"][2]["data"]["stepId"] = STEP_ID
    branch = step(file, "rich")["conditional_branches"][0]
    branch["target_step_id"] = branch.pop("target_node_id").replace("offer", STEP_ID)
    assert ports(file, "rich") == {"yes": "offer", "no": "news"}
    exported = json.dumps(complete(load_definition(file)).to_dict())
    assert STEP_ID not in exported  # the file means the same in another database


def test_contradicting_bindings_are_reported() -> None:
    file = branching()
    step(file, "offer")["id"] = STEP_ID
    file["canvas_data"]["nodes"][3]["data"]["stepId"] = STEP_ID
    assert codes(file) == {("offer", "binding_conflict")}
    branch = step(file, "rich")["conditional_branches"][0]
    branch["target_step_id"] = "news"
    assert ("rich", "target_conflict") in codes(file)


@pytest.mark.parametrize("inline", [mail("On the canvas"), mail("On the canvas")["email"]])
def test_a_configuration_can_be_on_the_canvas_only(inline: File) -> None:
    file = branching()
    config = inline if "subject" in inline else {"channel_config": inline}
    file["canvas_data"]["nodes"][2]["data"]["config"] = config
    file["steps"] = [step for step in file["steps"] if step["node_id"] != "offer"]
    result = compile_graph(load_definition(file), {}).nodes["offer"].config
    assert isinstance(result, EmailConfig)
    assert result.subject == "On the canvas"


def test_display_data_of_the_builder_is_not_a_configuration() -> None:
    file = branching()
    for node in file["canvas_data"]["nodes"]:
        node["data"]["config"] = {"icon": "mail", "color": 7}
    assert errors_in(problems(file)) == []


def test_different_configurations_of_canvas_and_step_are_reported_unless_the_canvas_wins() -> None:
    file = branching()
    file["canvas_data"]["nodes"][2]["data"]["config"] = mail("Edited on the canvas")["email"]
    assert codes(file) == {("offer", "config_conflict")}
    edited = complete(load_definition(file), canvas_wins=True)
    assert errors_in(edited.reading_problems) == []
    config = compile_graph(edited, {}).nodes["offer"].config
    assert isinstance(config, EmailConfig)
    assert config.subject == "Edited on the canvas"
    assert complete(edited) == edited


def test_a_canvas_without_steps_is_a_campaign() -> None:
    file = branching()
    for node, exported in zip(file["canvas_data"]["nodes"], file.pop("steps"), strict=True):
        node["data"]["config"] = {k: v for k, v in exported.items() if not k.startswith("node_")}
    assert ports(file, "rich") == {"yes": "offer", "no": "news"}


def test_a_day_delay_on_a_canvas_is_reported_unless_a_wait_precedes_it() -> None:
    file = with_canvas(
        "linear",
        {"start": {"node_type": "trigger"}, "w": wait_step(), "m": email_step()},
        [("start", "w"), ("w", "m")],
    )
    before = codes(file)
    step(file, "m")["day_delay"] = 1
    assert codes(file) == before
    file["canvas_data"]["edges"] = [{"id": "e", "source": "start", "target": "m"}]
    assert ("m", "day_delay_ignored") in codes(file)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f["canvas_data"].update(nodes=7), (None, "canvas_shape")),
        (lambda f: f["canvas_data"].update(edges="x"), (None, "canvas_shape")),
        (lambda f: f["canvas_data"]["nodes"].append(3), (None, "canvas_shape")),
        (lambda f: f["canvas_data"]["nodes"].append({}), (None, "node_id_missing")),
        (lambda f: f["canvas_data"]["nodes"].append({"id": "end"}), ("end", "node_duplicate")),
        (lambda f: f["canvas_data"]["nodes"][0].update(data=1), ("start", "canvas_shape")),
        (lambda f: f["canvas_data"]["edges"].append({"source": "end"}), ("end", "edge_incomplete")),
        (
            lambda f: f["canvas_data"]["edges"].append({"source": "offer", "target": "ned"}),
            ("offer", "edge_unknown_node"),
        ),
        (lambda f: f["steps"].append(copy.deepcopy(f["steps"][2])), ("offer", "step_duplicate")),
        (lambda f: f["steps"].append({"node_id": "ofer"}), ("ofer", "step_without_node")),
        (lambda f: f["steps"].append({"step_name": "Lost"}), (None, "step_unbound")),
        (lambda f: step(f, "offer").update(node_type="wait"), ("offer", "type_conflict")),
        (
            lambda f: f["canvas_data"]["nodes"][2].update(type="emialNode"),
            ("offer", "node_type_unknown"),
        ),
    ],
)
def test_a_malformed_canvas_is_reported(change: Any, problem: Any) -> None:
    file = branching()
    change(file)
    assert problem in codes(file)


def test_edges_stored_as_text_are_read() -> None:
    file = ab_test()
    file["canvas_data"]["edges"] = json.dumps(file["canvas_data"]["edges"])
    assert ports(file, "arms") == {"a": "short", "b": "long"}
    assert isinstance((complete(load_definition(file)).canvas_data or {})["edges"], list)
