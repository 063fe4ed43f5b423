"""The wait node: for a length of time, or until an event with a time-out.

A wait until an event looks back: an event since the person's latest message counts although it came
before the wait.
"""

from __future__ import annotations

from datetime import timedelta

from drip_pipeline.domain.graph.graph import PORT_DEFAULT, PORT_EVENT, PORT_TIMEOUT
from drip_pipeline.domain.graph.nodes import DurationWait, EventWait
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit, Park


def wait(visit: NodeVisit) -> list[NodeOutcome]:
    """People park, except where there is nothing to wait for."""
    config = visit.node.config
    if isinstance(config, EventWait):
        return _wait_for_event(visit, config)
    assert isinstance(config, DurationWait)
    if config.seconds == 0:
        passed = visit.note("wait_completed", port=PORT_DEFAULT)
        return [NodeOutcome(visit.people, Leave(PORT_DEFAULT), (passed,))]
    until = visit.now + timedelta(seconds=config.seconds)
    started = visit.note("wait_started", until=until.isoformat())
    return [NodeOutcome(visit.people, Park(until, PORT_DEFAULT), (started,))]


def _wait_for_event(visit: NodeVisit, config: EventWait) -> list[NodeOutcome]:
    happened = visit.facts.happened_since_message(visit.people, config.event_type)
    already = [person for person in visit.people if person.id in happened]
    answers = []
    if already:
        completed = visit.note("wait_completed", port=PORT_EVENT, event_type=config.event_type)
        answers.append(NodeOutcome(already, Leave(PORT_EVENT), (completed,)))
    rest = [person for person in visit.people if person.id not in happened]
    if rest and config.max_wait_seconds == 0:
        passed = visit.note("wait_completed", port=PORT_TIMEOUT, event_type=config.event_type)
        answers.append(NodeOutcome(rest, Leave(PORT_TIMEOUT), (passed,)))
    elif rest:
        until = visit.now + timedelta(seconds=config.max_wait_seconds)
        started = visit.note("wait_started", event_type=config.event_type, until=until.isoformat())
        answers.append(NodeOutcome(rest, Park(until, PORT_TIMEOUT, config.event_type), (started,)))
    return answers
