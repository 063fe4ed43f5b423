"""Input and output of an operator. execute.py turns the outcomes into transitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.engine.execution.batch_context import BatchContext
from drip_pipeline.engine.execution.transitions import (
    AssignmentNote,
    ContactChange,
    EventNote,
)

States = Sequence[DueState]


@dataclass(frozen=True, slots=True)
class Leave:
    """Continue through this port at once."""

    port: str


@dataclass(frozen=True, slots=True)
class Park:
    """Wait at the node until the time or the event, then leave by the port."""

    until: datetime
    resume_port: str
    for_event: str | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Queue a message for this channel and wait until it is settled."""

    channel: str


@dataclass(frozen=True, slots=True)
class End:
    """End the run with this status; `exited` has a reason."""

    status: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail at this node. It is retried with back-off; after the last retry the run fails."""

    error: str


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """The next action of some states of a group, and what is recorded for them."""

    states: States
    then: Leave | Park | Send | End | Fail
    events: tuple[EventNote, ...] = ()
    assignment: AssignmentNote | None = None
    changes: tuple[ContactChange, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeVisit:
    """One node, and a group of states of the same campaign version that enter it."""

    node: GraphNode
    states: States
    context: BatchContext
    now: datetime

    def note(self, kind: str, /, *, variant: str | None = None, **data: object) -> EventNote:
        """Return an event of this type at this node."""
        return EventNote(kind, self.node.node_id, self.node.step_id, data, variant)


Operator = Callable[[NodeVisit], list[NodeOutcome]]
