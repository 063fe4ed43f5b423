"""The trigger node: the entry. Its event `enrollment_started` was logged with the enrollment."""

from __future__ import annotations

from drip_pipeline.domain.graph.graph import PORT_DEFAULT
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit


def start(visit: NodeVisit) -> list[NodeOutcome]:
    """Continue with all states."""
    return [NodeOutcome(visit.states, Leave(PORT_DEFAULT))]
