"""The waits that follow the contact: until a date in a field, or until a condition holds.

followed_waits.py moves and ends them when the contact changes; both judge by the same rules.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.graph.contact_waits import (
    PORT_ON_DATE,
    ConditionWait,
    DateWait,
    judge_of,
)
from drip_pipeline.domain.graph.event_waits import PORT_TIMEOUT
from drip_pipeline.engine.execution.operators.protocol import (
    Leave,
    NodeOutcome,
    NodeVisit,
    Park,
)


def wait_for_contact(visit: NodeVisit, config: DateWait | ConditionWait) -> list[NodeOutcome]:
    """Start the wait; states whose date is past or missing, or whose condition holds, continue."""
    judge = judge_of(config, visit.now)
    values_of = config.reader()
    compared: dict[UUID, str] = {}
    groups: dict[tuple[str | None, datetime | None], list[DueState]] = {}
    for state in visit.states:
        facts = visit.context.of(state)
        port, until = judge(facts)
        groups.setdefault((port, until if port is None else None), []).append(state)
        if values_of is not None:
            compared[state.id] = values_of(facts)
    outcomes = []
    for (port, until), states in groups.items():
        if port is None and until is None:
            until = visit.now + timedelta(seconds=_limit(config))
        if port is None and until is not None and until <= visit.now:
            port = PORT_ON_DATE if isinstance(config, DateWait) else PORT_TIMEOUT
        if port is not None or until is None:
            left = visit.note("wait_completed", port=port).with_compared(compared)
            outcomes.append(NodeOutcome(states, Leave(str(port)), (left,)))
            continue
        started = visit.note("wait_started", until=until.isoformat()).with_compared(compared)
        resume_port = PORT_ON_DATE if isinstance(config, DateWait) else PORT_TIMEOUT
        outcomes.append(
            NodeOutcome(states, Park(until, resume_port, config.waited_for), (started,))
        )
    return outcomes


def _limit(config: DateWait | ConditionWait) -> int:
    return config.max_wait_seconds if isinstance(config, ConditionWait) else 0
