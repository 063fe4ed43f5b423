"""Which edges of a campaign its scenarios walked."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from drip_pipeline.domain.graph.graph import CampaignGraph, ports_of


class CoveredEdge(NamedTuple):
    """An outgoing edge of a node; `target` is None where it ends the run."""

    node_id: str
    port: str
    target: str | None
    is_walked: bool

    def text(self) -> str:
        """Return the edge as text."""
        port = "" if self.port == "default" else f" [{self.port}]"
        return f"{self.node_id}{port} → {self.target or 'the end'}"


def coverage(graph: CampaignGraph, walked: Set[tuple[str, str]]) -> list[CoveredEdge]:
    """Return every edge, and every port of a branching node that ends the run."""
    edges = []
    for node_id, node in graph.nodes.items():
        ports = ports_of(node.config)
        for port in ports:
            edge = node.ports.get(port)
            if edge is None and len(ports) == 1:
                continue
            target = None if edge is None else edge.target
            edges.append(CoveredEdge(node_id, port, target, (node_id, port) in walked))
    return edges
