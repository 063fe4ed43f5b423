"""Record one run of a scenario: its path, its events, its messages, and what conditions read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from drip_pipeline.domain.conditions.conditions import ContactAttributes
from drip_pipeline.domain.graph.graph import PORT_DEFAULT, NodeType
from drip_pipeline.engine.execution.operators import OPERATORS
from drip_pipeline.engine.execution.operators.protocol import NodeOutcome, NodeVisit, Operator
from drip_pipeline.engine.execution.transitions import EventNote, Transition
from drip_pipeline.engine.in_memory.observer import Observer, SettledMessage
from drip_pipeline.engine.in_memory.store import MemoryMessage

BRANCH_EVENTS: Mapping[str, str] = {
    "condition_evaluated": "branch",
    "variant_assigned": "variant_group",
    "wait_completed": "port",
}
"""Events of nodes with several outgoing edges, and the key of the port in their data."""


class SentInScenario(NamedTuple):
    """A message that was sent."""

    node_id: str
    at: datetime
    subject: str
    text: str


class SkippedInScenario(NamedTuple):
    """A message that was not sent."""

    node_id: str
    at: datetime
    reason: str


class LoggedNote(NamedTuple):
    """An event of the run."""

    at: datetime
    note: EventNote


@dataclass
class RunRecord(Observer):
    """What happened in the run of one person. `evaluations`: what conditions read, by the number
    of the visit of their node."""

    path: list[str] = field(default_factory=list)
    entered_at: list[datetime] = field(default_factory=list)
    notes: list[LoggedNote] = field(default_factory=list)
    sent: list[SentInScenario] = field(default_factory=list)
    skipped: list[SkippedInScenario] = field(default_factory=list)
    newly_sent: list[MemoryMessage] = field(default_factory=list)
    evaluations: dict[tuple[str, int], ContactAttributes] = field(default_factory=dict)
    _visits: dict[str, int] = field(default_factory=dict)

    def moved(self, transition: Transition, now: datetime) -> None:
        """Note the nodes and the events."""
        self.path += transition.path
        self.entered_at += [now] * len(transition.path)
        self.notes += [LoggedNote(now, note) for note in transition.events]

    def settled(self, messages: Sequence[SettledMessage], now: datetime) -> None:
        """Note the messages."""
        for message, reason, rendered in messages:
            node_id = message.note.node_id
            if reason is not None:
                self.skipped.append(SkippedInScenario(node_id, now, reason))
                continue
            subject = text = ""
            if rendered is not None:
                subject = rendered.subject
                text = "\n".join(filter(None, (rendered.text, rendered.html)))
            self.sent.append(SentInScenario(node_id, now, subject, text))
            self.newly_sent.append(message)

    def operators(self) -> Mapping[NodeType, Operator]:
        """Return the operators; that of conditions notes what it reads."""
        choose = OPERATORS[NodeType.CONDITION]

        def observed(visit: NodeVisit) -> list[NodeOutcome]:
            for state in visit.states:
                node_id = visit.node.node_id
                number = self._visits[node_id] = self._visits.get(node_id, 0) + 1
                facts = visit.context.of(state)
                self.evaluations[node_id, number] = facts._replace(fields=dict(facts.fields))
            return choose(visit)

        return {**OPERATORS, NodeType.CONDITION: observed}

    def ports_left(self) -> set[tuple[str, str]]:
        """Return the nodes that the run left, each with the port."""
        left = {
            (note.node_id or "", str(note.data[BRANCH_EVENTS[note.event_type]]))
            for _, note in self.notes
            if note.event_type in BRANCH_EVENTS
        }
        branching = {node_id for node_id, _ in left}
        passed = self.path if self._has_completed() else self.path[:-1]
        return left | {(node_id, PORT_DEFAULT) for node_id in passed if node_id not in branching}

    def _has_completed(self) -> bool:
        return any(note.event_type == "enrollment_completed" for _, note in self.notes)
