"""Compiling a definition into the immutable graph, and the hashes that tell definitions apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from drip_pipeline.domain.campaign_file import CampaignDefinition
from drip_pipeline.domain.draft import Draft, take_apart
from drip_pipeline.domain.flow import reachable
from drip_pipeline.domain.graph import CampaignGraph, GraphNode, NodeType
from drip_pipeline.domain.nodes import SplitConfig


def compile_graph(definition: CampaignDefinition, step_ids: Mapping[str, str]) -> CampaignGraph:
    """The graph of a definition without errors; `step_ids` maps node ids to uuids of steps."""
    draft = take_apart(definition)
    (entry,) = draft.of_type(NodeType.TRIGGER)
    nodes = {
        node_id: GraphNode(
            node_id=node_id,
            node_type=NodeType(step.node_type or ""),
            step_name=step.step_name or node_id,
            step_id=step_ids.get(node_id),
            config=draft.configs[node_id],
            ports=dict(draft.ports[node_id]),
            channel_id=step.channel_id,
        )
        for node_id, step in draft.steps.items()
    }
    return CampaignGraph(entry, nodes, _variant_of_node(entry, draft))


def definition_hash(definition: CampaignDefinition) -> str:
    """The same for the same definition, however it was formatted."""
    from drip_pipeline.domain.complete import complete

    return _hash(complete(definition).to_dict())


def graph_hash(definition: CampaignDefinition) -> str:
    """The same for definitions that execute alike; positions on the canvas do not count."""
    return _hash(compile_graph(definition, {}).to_dict())


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def _variant_of_node(entry: str, draft: Draft) -> dict[str, tuple[str, str]]:
    """Nodes that only one variant of a split leads to; of several splits the innermost counts."""
    found: dict[str, tuple[int, str, str]] = {}
    for split_id, config in draft.configs.items():
        if not isinstance(config, SplitConfig):
            continue
        elsewhere = reachable([entry], draft.successors, without=split_id)
        by_variant = {
            variant: reachable([edge.target], draft.successors, without=split_id)
            for variant, edge in draft.ports[split_id].items()
        }
        for variant, nodes in by_variant.items():
            others = set().union(*(n for v, n in by_variant.items() if v != variant))
            own = nodes - others - elsewhere
            for node_id in own:
                size = len(own)
                if node_id not in found or size < found[node_id][0]:
                    found[node_id] = (size, split_id, variant)
    return {node_id: (split, variant) for node_id, (_, split, variant) in found.items()}
