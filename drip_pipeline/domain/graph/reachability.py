"""How far a person can come in one batch from where they stand, and what must be known of them for
that. What lies behind a wait, a message or a delayed way is another batch's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drip_pipeline.domain.conditions.conditions import Needs, needs_of
from drip_pipeline.domain.graph.graph import CampaignGraph, GraphNode
from drip_pipeline.domain.graph.nodes import (
    ConditionConfig,
    DurationWait,
    EventWait,
    SplitConfig,
    channel_of,
)


@dataclass(frozen=True, slots=True)
class Reach:
    """Nodes that can be visited, and what their conditions, splits and waits read."""

    nodes: frozenset[str]
    needs: Needs
    waits_for: frozenset[str]
    has_split: bool


def reach(graph: CampaignGraph, node_id: str, resume_port: str | None) -> Reach:
    """From entering a node, or from leaving it by a port. A node that the graph does not have
    reaches nothing."""
    found: set[str] = set()
    node = graph.nodes.get(node_id)
    if node is None:
        open_ = []
    elif resume_port is None:
        open_ = [node_id]
    else:
        open_ = _targets(node, (resume_port,))
    while open_:
        at = open_.pop()
        if at not in found:
            found.add(at)
            if not _stops(graph.nodes[at]):
                open_ += _targets(graph.nodes[at], graph.nodes[at].ports)
    return _known(graph, frozenset(found))


def _targets(node: GraphNode, ports: Iterable[str]) -> list[str]:
    edges = [node.ports[port] for port in ports if port in node.ports]
    return [edge.target for edge in edges if not edge.delay_seconds]


def _stops(node: GraphNode) -> bool:
    # Not so a wait for an event: it may have happened already.
    if isinstance(node.config, DurationWait):
        return node.config.seconds > 0
    return channel_of(node.config) is not None


def _known(graph: CampaignGraph, found: frozenset[str]) -> Reach:
    needs = Needs()
    waits_for: set[str] = set()
    has_split = False
    for node_id in found:
        config = graph.nodes[node_id].config
        if isinstance(config, SplitConfig):
            has_split = True
            if config.from_field:
                needs |= Needs(fields=frozenset({config.from_field}))
        elif isinstance(config, ConditionConfig):
            for branch in config.branches:
                if branch.condition is not None:
                    needs |= needs_of(branch.condition)
        elif isinstance(config, EventWait):
            waits_for.add(config.event_type)
    return Reach(found, needs, frozenset(waits_for), has_split)
