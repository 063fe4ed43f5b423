from __future__ import annotations

import pytest

from drip_pipeline.domain.compiler.api import complete, load_definition
from drip_pipeline.domain.compiler.compile import compile_graph
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.graph.graph import Edge
from drip_pipeline.domain.graph.nodes import DurationWait, EmailConfig
from drip_pipeline.errors import DefinitionInvalid
from tests.domain.campaign_files import (
    File,
    codes,
    email_step,
    linear,
    mail,
    problems,
    wait_step,
)


def order(file: File) -> list[str]:
    """Return the node ids from the trigger on, along the only path."""
    graph = compile_graph(load_definition(file), {})
    walked = [graph.entry_node_id]
    while graph.nodes[walked[-1]].ports:
        targets = {edge.target for edge in graph.nodes[walked[-1]].ports.values()}
        assert len(targets) == 1
        walked += targets
    return walked


def test_steps_without_a_canvas_get_trigger_exit_and_edges() -> None:
    file = linear({"node_id": "a", **email_step()}, {"node_id": "b", **wait_step()})
    assert order(file) == ["trigger", "a", "b", "exit"]
    assert errors_in(problems(file)) == []


def test_existing_trigger_and_exit_are_not_added_again() -> None:
    file = linear(
        {"node_id": "start", "node_type": "trigger"},
        {"node_id": "a", **email_step()},
        {"node_id": "over", "node_type": "exit"},
    )
    assert order(file) == ["start", "a", "over"]


def test_a_day_delay_becomes_a_wait_before_the_step() -> None:
    file = linear(
        {"node_id": "a", "subject_line": "Hello", "email_body": "x", "day_delay": 0},
        {"node_id": "b", "subject_line": "Again", "email_body": "y", "day_delay": 3},
    )
    assert order(file) == ["trigger", "a", "wait_before_b", "b", "exit"]
    graph = compile_graph(load_definition(file), {})
    wait = graph.nodes["wait_before_b"].config
    assert isinstance(wait, DurationWait)
    assert wait.seconds == 3 * 86_400


def test_flat_columns_are_the_email_unless_channel_config_has_one() -> None:
    flat = {
        "subject_line": "Flat",
        "preheader_text": "Pre",
        "email_body": "Body",
        "email_body_html": "<p>Body</p>",
    }
    graph = compile_graph(load_definition(linear({"node_id": "a", **flat})), {})
    assert graph.nodes["a"].config == EmailConfig(
        subject="Flat", preheader="Pre", body="Body", body_html="<p>Body</p>"
    )
    both = linear({"node_id": "a", "channel_config": mail("Real"), **flat})
    config = compile_graph(load_definition(both), {}).nodes["a"].config
    assert isinstance(config, EmailConfig)
    assert config.subject == "Real"
    assert ("a", "legacy_columns_ignored") in codes(both)


def test_node_ids_depend_on_names_and_not_on_positions() -> None:
    first = linear(
        {"step_name": "Grüß Gott!", **email_step()}, {"step_name": "Bye", **email_step()}
    )
    later = linear({"step_name": "New", **email_step()}, *first["steps"])
    assert order(first) == ["trigger", "gru_gott", "bye", "exit"]
    assert set(order(first)) <= set(order(later))


def test_two_steps_of_one_node_are_reported_with_or_without_a_canvas() -> None:
    file = linear(*({"node_id": "a", **email_step()} for _ in range(2)))
    assert ("a", "step_duplicate") in codes(file)


def test_equal_names_get_different_ids() -> None:
    file = linear(*({"step_name": "Hello", **email_step()} for _ in range(3)))
    assert order(file) == ["trigger", "hello", "hello_2", "hello_3", "exit"]


def test_both_ports_of_an_event_wait_in_a_sequence_lead_to_the_next_step() -> None:
    wait = {"node_type": "wait", "wait_config": {"type": "until_event", "event_type": "open"}}
    file = linear({"node_id": "a", **email_step()}, {"node_id": "w", **wait})
    ports = compile_graph(load_definition(file), {}).nodes["w"].ports
    assert ports == {"event": Edge("exit"), "timeout": Edge("exit")}


def test_a_sequence_without_a_canvas_cannot_branch() -> None:
    file = linear({"node_id": "c", "node_type": "condition"}) | {"campaign_type": "branching"}
    assert ("c", "canvas_required") in codes(file)


def test_trigger_must_be_first_and_exit_last() -> None:
    file = linear(
        {"node_id": "a", **email_step()},
        {"node_id": "end", "node_type": "exit"},
        {"node_id": "start", "node_type": "trigger"},
    )
    assert {("end", "sequence_order"), ("start", "sequence_order")} <= codes(file)


@pytest.mark.parametrize("file", [{"name": "x"}, {"name": "x", "steps": []}])
def test_a_campaign_without_steps_is_invalid(file: File) -> None:
    assert codes(file) == {(None, "steps_missing")}
    with pytest.raises(DefinitionInvalid, match="neither steps nor a canvas"):
        compile_graph(load_definition(file), {})


def test_a_generated_canvas_has_positions_for_all_nodes() -> None:
    canvas = complete(load_definition(linear())).canvas_data
    assert canvas is not None
    places = [(node["position"]["x"], node["position"]["y"]) for node in canvas["nodes"]]
    assert len(set(places)) == len(places) == 3


def test_the_position_of_a_step_is_the_position_of_its_node() -> None:
    file = linear({"node_id": "a", "node_position": {"x": 7, "y": 9}, **email_step()})
    definition = complete(load_definition(file))
    assert complete(definition) == definition
    (node,) = [n for n in (definition.canvas_data or {})["nodes"] if n["id"] == "a"]
    assert node["position"] == {"x": 7, "y": 9}


def test_a_name_of_12000_characters_gives_a_short_id() -> None:
    file = linear({"step_name": "x" * 400, **email_step()})
    assert len(order(file)[1]) <= 60
