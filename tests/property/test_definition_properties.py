from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.domain.compiler.analysis import analyze
from drip_pipeline.domain.compiler.api import complete, load_definition
from drip_pipeline.domain.compiler.compile import compile_graph, definition_hash, graph_hash
from drip_pipeline.domain.compiler.validate import validate
from drip_pipeline.domain.definition.export import export_definition
from drip_pipeline.domain.definition.problems import errors_in
from drip_pipeline.domain.graph.graph import CampaignGraph, ports_of
from drip_pipeline.domain.graph.nodes import SplitConfig
from drip_pipeline.errors import DefinitionInvalid
from tests.domain.definition.stored_rows import rows_of
from tests.strategies import ALL_CHANNELS, KNOWN_CUSTOM_FIELDS, ab_test_files, valid_files

INVARIANTS = settings(max_examples=30)


def problems_of(file: dict[str, Any]) -> list[Any]:
    return validate(
        load_definition(file),
        known_custom_fields=KNOWN_CUSTOM_FIELDS,
        available_channels=ALL_CHANNELS,
    )


@INVARIANTS
@given(valid_files())
def test_a_valid_file_has_no_errors_and_compiles(file: dict[str, Any]) -> None:
    assert errors_in(problems_of(file)) == []
    graph = compile_graph(load_definition(file), {})
    assert graph.nodes[graph.entry_node_id].node_type == "trigger"
    for node in graph.nodes.values():
        assert set(node.ports) <= set(ports_of(node.config))
        assert all(edge.target in graph.nodes for edge in node.ports.values())


@INVARIANTS
@given(valid_files())
def test_a_graph_can_be_stored_as_json(file: dict[str, Any]) -> None:
    ids = {step.node_id: f"id of {step.node_id}" for step in complete(load_definition(file)).steps}
    graph = compile_graph(load_definition(file), {k: v for k, v in ids.items() if k})
    assert CampaignGraph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph
    assert all(node.step_id == ids[node.node_id] for node in graph.nodes.values())


@INVARIANTS
@given(valid_files())
def test_completing_is_idempotent(file: dict[str, Any]) -> None:
    once = complete(load_definition(file))
    assert complete(once) == once
    assert load_definition(once.to_dict()).to_dict() == once.to_dict()
    assert definition_hash(once) == definition_hash(load_definition(file))


@INVARIANTS
@given(valid_files())
def test_publishing_an_export_changes_nothing(file: dict[str, Any]) -> None:
    definition = load_definition(file)
    exported = export_definition(*rows_of(definition))
    assert exported == complete(definition).to_dict()
    again = load_definition(exported)
    assert definition_hash(again) == definition_hash(definition)
    assert graph_hash(again) == graph_hash(definition)
    assert compile_graph(again, {}) == compile_graph(definition, {})


@INVARIANTS
@given(valid_files(), st.randoms(use_true_random=False))
def test_formatting_and_order_of_keys_do_not_change_the_hash(
    file: dict[str, Any], random: Any
) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    as_json = load_definition(json.dumps(shuffled(file), indent=3))
    as_yaml = load_definition(yaml.safe_dump(shuffled(file), allow_unicode=True))
    expected = definition_hash(load_definition(file))
    assert definition_hash(as_json) == expected
    assert definition_hash(as_yaml) == expected


@INVARIANTS
@given(valid_files())
def test_moving_a_node_changes_the_definition_but_not_the_graph(file: dict[str, Any]) -> None:
    before = complete(load_definition(file)).to_dict()
    after = copy.deepcopy(before)
    after["canvas_data"]["nodes"][0]["position"] = {"x": -7, "y": 12345}
    assert definition_hash(load_definition(after)) != definition_hash(load_definition(before))
    assert graph_hash(load_definition(after)) == graph_hash(load_definition(before))


@INVARIANTS
@given(ab_test_files())
def test_traffic_shares_sum_to_100_and_variants_have_disjoint_nodes(file: dict[str, Any]) -> None:
    graph = compile_graph(load_definition(file), {})
    (split,) = [node for node in graph.nodes.values() if isinstance(node.config, SplitConfig)]
    assert isinstance(split.config, SplitConfig)
    assert abs(sum(v.percentage for v in split.config.variants) - 100) < 0.01
    for variant_id, edge in split.ports.items():
        assert graph.variant_of_node[edge.target] == (split.node_id, variant_id)
    outside = {graph.entry_node_id, split.node_id}
    assert not outside & graph.variant_of_node.keys()


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["wait", "split", "else", "{{ oops", "{{ unknown_thing }}", "\x00", "\ud800"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Yield every path in a JSON value, as its keys."""
    result = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            result += places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            result += places(item, (*path, index))
    return result


def mutate(file: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    mutant = copy.deepcopy(file)
    for _ in range(data.draw(st.integers(1, 3))):
        result = places(mutant)
        if not result:
            return mutant
        path = data.draw(st.sampled_from(result))
        holder: Any = mutant
        for key in path[:-1]:
            holder = holder[key]
        act = data.draw(st.sampled_from(["replace", "remove", "rename", "repeat"]))
        if act == "remove":
            del holder[path[-1]]
        elif act == "rename" and isinstance(holder, dict):
            holder[f"{path[-1]}x"] = holder.pop(path[-1])
        elif act == "repeat" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        else:
            holder[path[-1]] = data.draw(JUNK)
    return mutant


@settings(INVARIANTS, max_examples=150)
@given(valid_files(), st.data())
def test_problems_of_any_file_are_reported_and_never_raised(
    file: dict[str, Any], data: st.DataObject
) -> None:
    mutant = mutate(file, data)
    definition = load_definition(mutant)
    problems = validate(
        definition, known_custom_fields=KNOWN_CUSTOM_FIELDS, available_channels=ALL_CHANNELS
    )
    assert all(problem.code and problem.message for problem in problems)
    assert len(set(problems)) == len(problems)
    json.dumps([problem.to_dict() for problem in problems])
    if not errors_in(problems):
        graph = compile_graph(definition, {})
        assert CampaignGraph.from_dict(graph.to_dict()) == graph
        assert load_definition(export_definition(*rows_of(definition))) is not None
        assert definition_hash(
            load_definition(export_definition(*rows_of(definition)))
        ) == definition_hash(definition)
        return
    # Errors of texts and channels do not affect the graph; all others prevent compilation.
    with contextlib.suppress(DefinitionInvalid):
        compile_graph(definition, {})


@INVARIANTS
@given(valid_files(), st.data())
def test_a_removed_edge_is_reported(file: dict[str, Any], data: st.DataObject) -> None:
    whole = complete(load_definition(file)).to_dict()
    edges = whole["canvas_data"]["edges"]
    cut = edges.pop(data.draw(st.integers(0, len(edges) - 1)))
    before = {(p.node_id, p.code) for p in problems_of(complete(load_definition(file)).to_dict())}
    new = [p for p in problems_of(whole) if (p.node_id, p.code) not in before]
    assert new, cut


@INVARIANTS
@given(valid_files())
def test_the_analysis_reads_every_node(file: dict[str, Any]) -> None:
    draft = analyze(load_definition(file))
    assert draft.configs.keys() == draft.steps.keys() == draft.ports.keys()
