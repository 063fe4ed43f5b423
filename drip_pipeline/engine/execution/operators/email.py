"""The email node: a message for everybody, written to the outbox; sending is the business of
deliver.py."""

from __future__ import annotations

from drip_pipeline.engine.execution.operators.protocol import NodeOutcome, NodeVisit, Send


def queue_email(visit: NodeVisit) -> list[NodeOutcome]:
    """Everybody gets a delivery and stays until it is settled."""
    return [NodeOutcome(visit.people, Send("email"))]
