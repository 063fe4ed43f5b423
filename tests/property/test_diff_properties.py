from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drip_pipeline.domain.compiler.api import complete, definition_hash, load_definition
from drip_pipeline.domain.diff.changes import DefinitionDiff
from drip_pipeline.domain.diff.definition_diff import compare_definitions
from drip_pipeline.domain.diff.text_diff import compare_texts
from tests.property.test_definition_properties import mutate
from tests.strategies import valid_files

INVARIANTS = settings(max_examples=12)
LINES = st.lists(
    st.sampled_from(["Hello", " ", "\n", "{{ first_name }}", "offer", ",", "<b>", "Grüße", "\r\n"]),
    max_size=14,
).map("".join)


def compared(before: dict[str, Any], after: dict[str, Any]) -> DefinitionDiff:
    return compare_definitions(load_definition(before), load_definition(after))


@INVARIANTS
@given(valid_files())
def test_nothing_differs_from_itself_however_it_is_written(file: dict[str, Any]) -> None:
    assert compared(file, file).is_empty
    assert compared(file, complete(load_definition(file)).to_dict()).is_empty
    assert compared({**file, "workspace": "Other"}, file).is_empty


@INVARIANTS
@given(valid_files(), valid_files())
def test_different_definitions_have_a_difference_and_both_ways(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    there, back = compared(one, other), compared(other, one)
    same = definition_hash(load_definition(one)) == definition_hash(load_definition(other))
    assert there.is_empty == back.is_empty == same
    added = {c.node_id for c in there.changes if c.kind == "step_added"}
    assert added == {c.node_id for c in back.changes if c.kind == "step_removed"}
    json.dumps(there.to_dict())


@settings(INVARIANTS, max_examples=30)
@given(valid_files(), st.data())
def test_whatever_is_done_to_a_file_is_told_and_never_raised(
    file: dict[str, Any], data: st.DataObject
) -> None:
    whole = complete(load_definition(file)).to_dict()
    mutant = mutate(whole, data)
    found = compared(whole, mutant)
    same = definition_hash(load_definition(whole)) == definition_hash(load_definition(mutant))
    assert found.is_empty == same
    json.dumps(found.to_dict())
    assert all(change.sentence for change in (*found.changes, *found.canvas))


@INVARIANTS
@given(valid_files(), st.data())
def test_a_place_on_the_canvas_is_no_change_of_the_campaign(
    file: dict[str, Any], data: st.DataObject
) -> None:
    before = complete(load_definition(file)).to_dict()
    after = copy.deepcopy(before)
    node = data.draw(st.sampled_from(after["canvas_data"]["nodes"]))
    node["position"] = {"x": -7, "y": 12345}
    found = compared(before, after)
    assert (found.changes, [change.node_id for change in found.canvas]) == ((), [node["id"]])


@INVARIANTS
@given(valid_files(), st.data())
def test_exchanging_two_neighbors_is_a_move_of_one_and_nothing_else(
    file: dict[str, Any], data: st.DataObject
) -> None:
    before = complete(load_definition(file)).to_dict()
    after = copy.deepcopy(before)
    kinds = {step["node_id"]: step["node_type"] for step in before["steps"]}
    plain = {"email", "action"}
    pairs = [
        edge
        for edge in after["canvas_data"]["edges"]
        if kinds[edge["source"]] in plain
        and kinds[edge["target"]] in plain
        and sum(e["target"] == edge["target"] for e in after["canvas_data"]["edges"]) == 1
    ]
    assume(pairs and "target_node_id" not in json.dumps(file["steps"]))
    pair = data.draw(st.sampled_from(pairs))
    first, second = pair["source"], pair["target"]
    swap = {first: second, second: first}
    for edge in after["canvas_data"]["edges"]:
        edge["source"] = swap.get(edge["source"], edge["source"])
        edge["target"] = swap.get(edge["target"], edge["target"])
    found = compared(before, after)
    told = [change for change in found.changes if change.kind != "delay"]  # those of the lines
    assert [change.kind for change in told] == ["step_moved"]
    assert told[0].node_id in swap


@INVARIANTS
@given(LINES, LINES)
def test_the_words_of_a_comparison_make_both_texts(before: str, after: str) -> None:
    pieces = compare_texts(before, after)
    assert "".join(p.text for p in pieces if p.kind != "added") == before
    assert "".join(p.text for p in pieces if p.kind != "removed") == after
    assert all(piece.text for piece in pieces)
    assert (before == after) == all(piece.kind == "same" for piece in pieces)


@pytest.mark.parametrize("handle", [["yes"], {"id": "yes"}, 1, 1.5, True])
def test_an_edge_whose_handle_is_no_text_is_compared(handle: object) -> None:
    nodes = [{"id": "start", "type": "trigger"}, {"id": "end", "type": "exit"}]
    edge = {"id": "e", "source": "start", "target": "end"}

    def canvas(**more: object) -> dict[str, Any]:
        return {"name": "C", "canvas_data": {"nodes": nodes, "edges": [{**edge, **more}]}}

    assert not compared(canvas(), canvas(sourceHandle=handle)).is_empty
    assert compared(canvas(sourceHandle=handle), canvas(sourceHandle=handle)).is_empty
