"""Check a scenario file against its campaign: the nodes, variants and times that it names exist."""

from __future__ import annotations

from collections.abc import Iterator

from drip_pipeline.domain.definition.problems import did_you_mean
from drip_pipeline.domain.definition.text_formats import parse_text
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.nodes import SplitConfig, channel_of
from drip_pipeline.domain.scenarios.scenario_file import (
    Path,
    ReadScenarios,
    ScenarioPerson,
    ScenarioProblem,
    problem_at,
)


def check_scenarios(read: ReadScenarios, graph: CampaignGraph) -> list[ScenarioProblem]:
    """Return what a valid file names that the campaign does not have."""
    if read.file is None:
        return []
    faults: list[tuple[Path, str]] = []
    for number, person in enumerate(read.file.persons):
        for path, message in _faults(person, graph):
            faults.append((("people", number, *path), message))
    if not faults:
        return []
    content = parse_text(read.text)
    return [problem_at(read.text, content, path, message) for path, message in faults]


def _faults(person: ScenarioPerson, graph: CampaignGraph) -> Iterator[tuple[Path, str]]:
    expect = person.expect
    for number, node_id in enumerate(expect.path or ()):
        if node_id not in graph.nodes:
            yield ("expect", "path", number), _no_node(node_id, graph)
    for name in ("messages", "skipped"):
        for number, message in enumerate(getattr(expect, name) or ()):
            yield from _of_message(("expect", name, number, "node"), message.node, graph)
    if expect.node is not None and expect.node not in graph.nodes:
        yield ("expect", "node"), _no_node(expect.node, graph)
    for number, event in enumerate(person.events):
        if event.of is not None:
            yield from _of_message(("events", number, "of"), event.of, graph)
    for split, variant in person.variants.items():
        yield from _of_variant(("variants", split), split, variant, graph)


def _of_message(path: Path, node_id: str, graph: CampaignGraph) -> Iterator[tuple[Path, str]]:
    node = graph.nodes.get(node_id)
    if node is None:
        yield path, _no_node(node_id, graph)
    elif not _sends(node):
        kind = node.node_type.value
        yield path, f"node {node_id!r} ({kind}) sends no message; name a node that does"


def _of_variant(
    path: Path, split: str, variant: str, graph: CampaignGraph
) -> Iterator[tuple[Path, str]]:
    node = graph.nodes.get(split)
    if node is None:
        yield path, _no_node(split, graph)
    elif not isinstance(node.config, SplitConfig):
        yield path, f"node {split!r} is no split; name the split of the variant"
    else:
        ids = [each.id for each in node.config.variants]
        if variant not in ids:
            hint = did_you_mean(variant, ids)
            yield path, f"split {split!r} has no variant {variant!r}{hint} ({', '.join(ids)})"


def _sends(node: GraphNode) -> bool:
    return channel_of(node.config) is not None


def _no_node(node_id: str, graph: CampaignGraph) -> str:
    return f"the campaign has no node {node_id!r}{did_you_mean(node_id, graph.nodes)}"
