"""The trigger: where people come in. The log has their `enrollment_started` already, written with
the enrollment."""

from __future__ import annotations

from drip_pipeline.domain.graph.graph import PORT_DEFAULT
from drip_pipeline.engine.execution.operators.protocol import Answer, Leave, NodeVisit


def start(visit: NodeVisit) -> list[Answer]:
    """Everybody goes on."""
    return [Answer(visit.people, Leave(PORT_DEFAULT))]
