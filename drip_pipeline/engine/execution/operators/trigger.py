"""The trigger: where people come in. The log has their `enrollment_started` already, written with
the enrollment."""

from __future__ import annotations

from drip_pipeline.domain.graph.graph import PORT_DEFAULT
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit


def start(visit: NodeVisit) -> list[NodeOutcome]:
    """Everybody goes on."""
    return [NodeOutcome(visit.people, Leave(PORT_DEFAULT))]
