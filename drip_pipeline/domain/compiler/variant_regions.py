"""Find the nodes that belong to each variant of each split.

A node belongs to a variant if every path to it passes through that variant. Contacts keep their
variant when a cycle leads back to the split, so that paths through the split do not count.
"""

from __future__ import annotations

from drip_pipeline.domain.compiler.analysis import Analysis
from drip_pipeline.domain.graph.nodes import SplitConfig
from drip_pipeline.domain.graph.traversal import reachable


def variant_of_node(entry: str, analysis: Analysis) -> dict[str, tuple[str, str]]:
    """Return node id → (split node id, variant id) of the innermost split around each node."""
    smallest: dict[str, tuple[int, str, str]] = {}
    for split_id, variant_id, area in variant_areas(entry, analysis):
        for node_id in area:
            # Areas around one node are nested: the smallest is the innermost.
            if node_id not in smallest or len(area) < smallest[node_id][0]:
                smallest[node_id] = (len(area), split_id, variant_id)
    return {
        node_id: (smallest[node_id][1], smallest[node_id][2])
        for node_id in analysis.steps
        if node_id in smallest
    }


def variant_areas(entry: str, analysis: Analysis) -> list[tuple[str, str, set[str]]]:
    """Return (split node id, variant id, nodes) for every variant with an edge."""
    areas: list[tuple[str, str, set[str]]] = []
    for split_id, config in analysis.configs.items():
        if not isinstance(config, SplitConfig):
            continue
        outside = reachable([entry], analysis.successors, without=split_id)
        behind = {
            variant_id: reachable([edge.target], analysis.successors, without=split_id)
            for variant_id, edge in analysis.ports[split_id].items()
        }
        for variant_id, nodes in behind.items():
            others = set().union(
                *(nodes_behind for name, nodes_behind in behind.items() if name != variant_id)
            )
            areas.append((split_id, variant_id, nodes - others - outside))
    return areas
