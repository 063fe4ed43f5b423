"""The wait node: for a duration, until a time of day, or for an event with a timeout. Waits that
follow the contact are in contact_waits.py.

An event about the latest message counts, even if it arrived before the wait began; so does an event
of the contact, such as a purchase, since that message.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.conditions.compared_values import event_text, where_paths
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.graph.graph import PORT_DEFAULT, PORT_EVENT, PORT_TIMEOUT
from drip_pipeline.domain.graph.nodes import (
    ConditionWait,
    DateWait,
    DurationWait,
    EventWait,
    TimedWait,
    TimeWait,
)
from drip_pipeline.engine.execution.operators.contact_waits import wait_for_contact
from drip_pipeline.engine.execution.operators.protocol import (
    Leave,
    NodeOutcome,
    NodeVisit,
    Park,
    States,
)


def wait(visit: NodeVisit) -> list[NodeOutcome]:
    """Start the wait; states with nothing to wait for continue."""
    config = visit.node.config
    if isinstance(config, EventWait):
        return _wait_for_event(visit, config)
    if isinstance(config, DateWait | ConditionWait):
        return wait_for_contact(visit, config)
    assert isinstance(config, DurationWait | TimeWait)
    if isinstance(config, DurationWait) and config.seconds == 0:
        passed = visit.note("wait_completed", port=PORT_DEFAULT)
        return [NodeOutcome(visit.states, Leave(PORT_DEFAULT), (passed,))]
    return [_until(visit, until, states) for until, states in _by_end(visit, config).items()]


def _by_end(visit: NodeVisit, config: TimedWait) -> dict[datetime, States]:
    """Group the states by the end of their wait: it is computed once per time zone."""
    ends: dict[datetime, list[States]] = {}
    for zone, states in visit.context.by_zone(visit.states, config.timezone).items():
        ends.setdefault(config.until(visit.now, zone_of(zone)), []).append(states)
    return {
        until: groups[0] if len(groups) == 1 else [state for group in groups for state in group]
        for until, groups in ends.items()
    }


def _until(visit: NodeVisit, until: datetime, states: States) -> NodeOutcome:
    started = visit.note("wait_started", until=until.isoformat())
    return NodeOutcome(states, Park(until, PORT_DEFAULT), (started,))


def _wait_for_event(visit: NodeVisit, config: EventWait) -> list[NodeOutcome]:
    keeps_event = visit.context.keeps_event(visit.states[0])
    if keeps_event or not config.is_plain or config.event_type is None:
        return _wait_for_matching_event(visit, config)
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


def _wait_for_matching_event(visit: NodeVisit, config: EventWait) -> list[NodeOutcome]:
    """Look back like `_wait_for_event`, and judge the events one by one."""
    by_end: dict[tuple[str, str], list[DueState]] = {}
    rest: list[DueState] = []
    compared: dict[UUID, str] = {}
    paths = _compared_properties(config)
    for state in visit.states:
        ended = visit.context.first_matching(state, config)
        if ended is None:
            rest.append(state)
            continue
        port, event = ended
        visit.context.set_event(state, event.properties)
        by_end.setdefault((port, event.event_type), []).append(state)
        compared[state.id] = event_text(event, paths)
    outcomes = [
        NodeOutcome(
            states,
            Leave(port),
            (
                visit.note("wait_completed", port=port, event_type=event_type).with_compared(
                    compared
                ),
            ),
        )
        for (port, event_type), states in by_end.items()
    ]
    names = ", ".join(config.event_types)
    if rest and config.max_wait_seconds == 0:
        passed = visit.note("wait_completed", port=PORT_TIMEOUT, event_type=names)
        outcomes.append(NodeOutcome(rest, Leave(PORT_TIMEOUT), (passed,)))
    elif rest:
        until = visit.now + timedelta(seconds=config.max_wait_seconds)
        started = visit.note("wait_started", event_type=names, until=until.isoformat())
        outcomes.append(NodeOutcome(rest, Park(until, PORT_TIMEOUT, config.judged_for), (started,)))
    return outcomes


@lru_cache(maxsize=1024)
def _compared_properties(config: EventWait) -> tuple[str, ...]:
    paths = (path for _, matcher in config.matchers() for path in where_paths(matcher.where))
    return tuple(dict.fromkeys(paths))
