"""The email node: queue a message in the outbox. delivery/ sends it."""

from __future__ import annotations

from drip_pipeline.engine.execution.operators.protocol import NodeOutcome, NodeVisit, Send


def queue_email(visit: NodeVisit) -> list[NodeOutcome]:
    """Queue one delivery per state; the state waits until it is settled."""
    return [NodeOutcome(visit.states, Send("email"))]
