"""The exit node."""

from __future__ import annotations

from drip_pipeline.domain.graph.nodes import ExitConfig
from drip_pipeline.engine.execution.operators.protocol import End, NodeOutcome, NodeVisit


def end(visit: NodeVisit) -> list[NodeOutcome]:
    """End the run with the node's status and reason."""
    config = visit.node.config
    assert isinstance(config, ExitConfig)
    return [NodeOutcome(visit.states, End(config.status, config.reason))]
