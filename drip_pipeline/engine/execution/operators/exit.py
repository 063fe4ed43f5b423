"""The exit node."""

from __future__ import annotations

from drip_pipeline.domain.graph.nodes import ExitConfig
from drip_pipeline.engine.execution.operators.protocol import End, NodeOutcome, NodeVisit


def end(visit: NodeVisit) -> list[NodeOutcome]:
    """Everybody's run ends as the node says."""
    config = visit.node.config
    assert isinstance(config, ExitConfig)
    return [NodeOutcome(visit.people, End(config.status, config.reason))]
