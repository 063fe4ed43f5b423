"""The wait node: for a duration, or for an event with a timeout.

An event about the latest message counts, even if it arrived before the wait began; so does an event
of the contact, such as a purchase, since that message.
"""

from __future__ import annotations

from datetime import timedelta

from drip_pipeline.domain.graph.graph import PORT_DEFAULT, PORT_EVENT, PORT_TIMEOUT
from drip_pipeline.domain.graph.nodes import DurationWait, EventWait
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit, Park


def wait(visit: NodeVisit) -> list[NodeOutcome]:
    """Start the wait; states with nothing to wait for continue."""
    config = visit.node.config
    if isinstance(config, EventWait):
        return _wait_for_event(visit, config)
    assert isinstance(config, DurationWait)
    if config.seconds == 0:
        passed = visit.note("wait_completed", port=PORT_DEFAULT)
        return [NodeOutcome(visit.states, Leave(PORT_DEFAULT), (passed,))]
    until = visit.now + timedelta(seconds=config.seconds)
    started = visit.note("wait_started", until=until.isoformat())
    return [NodeOutcome(visit.states, Park(until, PORT_DEFAULT), (started,))]


def _wait_for_event(visit: NodeVisit, config: EventWait) -> list[NodeOutcome]:
    happened = visit.context.happened_since_message(visit.states, config.event_type)
    already = [state for state in visit.states if state.id in happened]
    outcomes = []
    if already:
        completed = visit.note("wait_completed", port=PORT_EVENT, event_type=config.event_type)
        outcomes.append(NodeOutcome(already, Leave(PORT_EVENT), (completed,)))
    rest = [state for state in visit.states if state.id not in happened]
    if rest and config.max_wait_seconds == 0:
        passed = visit.note("wait_completed", port=PORT_TIMEOUT, event_type=config.event_type)
        outcomes.append(NodeOutcome(rest, Leave(PORT_TIMEOUT), (passed,)))
    elif rest:
        until = visit.now + timedelta(seconds=config.max_wait_seconds)
        started = visit.note("wait_started", event_type=config.event_type, until=until.isoformat())
        outcomes.append(NodeOutcome(rest, Park(until, PORT_TIMEOUT, config.event_type), (started,)))
    return outcomes
