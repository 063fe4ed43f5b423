"""What an operator gets and what it answers. The walk in execute.py turns answers into
transitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.engine.execution.batch_context import BatchContext
from drip_pipeline.engine.execution.transitions import (
    AssignmentNote,
    ContactChange,
    DueState,
    EventNote,
)

People = Sequence[DueState]


@dataclass(frozen=True, slots=True)
class Leave:
    """Go on through this port, at once."""

    port: str


@dataclass(frozen=True, slots=True)
class Park:
    """Stay here until the time, or until the event; then leave by the port."""

    until: datetime
    resume_port: str
    for_event: str | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Put a message for this channel into the outbox and stay until it is settled."""

    channel: str


@dataclass(frozen=True, slots=True)
class End:
    """The run of the campaign ends here. `reason` belongs to `exited`."""

    status: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """This node cannot be executed for these people; tried again with back-off, then failed."""

    error: str


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """What becomes of some of the people of a group, and what is to be recorded of it."""

    people: People
    then: Leave | Park | Send | End | Fail
    events: tuple[EventNote, ...] = ()
    assignment: AssignmentNote | None = None
    changes: tuple[ContactChange, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeVisit:
    """One node, one group of people of the same campaign version, one moment."""

    node: GraphNode
    people: People
    facts: BatchContext
    now: datetime

    def note(self, kind: str, /, *, variant: str | None = None, **data: Any) -> EventNote:
        """An event of this kind at this node."""
        return EventNote(kind, self.node.node_id, self.node.step_id, data, variant)


Operator = Callable[[NodeVisit], list[NodeOutcome]]
