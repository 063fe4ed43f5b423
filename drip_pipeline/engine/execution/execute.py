"""From claimed states to transitions. Writes nothing: a dry run or a simulation is this without
`commit`.

People are carried through as many nodes as take no time, in memory, until a wait, a delivery or the
end. They travel in groups: those who stand at the same node of the same version, and part company
only where an operator parts them. So the cost is per group and node, not per person and node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from drip_pipeline.domain.graph.graph import PORT_DEFAULT, CampaignGraph, GraphNode, NodeType
from drip_pipeline.domain.identity import delivery_id
from drip_pipeline.domain.retry import retry_delay_seconds
from drip_pipeline.engine.execution.batch_context import BatchContext
from drip_pipeline.engine.execution.operators import OPERATORS
from drip_pipeline.engine.execution.operators.protocol import (
    End,
    Fail,
    Leave,
    NodeOutcome,
    NodeVisit,
    Park,
    Send,
)
from drip_pipeline.engine.execution.transitions import (
    AssignmentNote,
    Batch,
    ContactChange,
    DeliveryNote,
    DueState,
    EventNote,
    NodePosition,
    Transition,
)

MAX_NODES_PER_TICK: Final = 200
MAX_NODES_PER_LIFE: Final = 10_000
_PAUSE_AFTER_MANY_NODES = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A group on its way: where it stands and what it has left behind. Tuples, since groups part
    and share the past."""

    people: Sequence[DueState]
    node_id: str
    path: tuple[str, ...] = ()
    events: tuple[EventNote, ...] = ()
    assignments: tuple[AssignmentNote, ...] = ()
    changes: tuple[ContactChange, ...] = ()


def execute(
    people: Mapping[NodePosition, Sequence[DueState]],
    graphs: Mapping[tuple[UUID, int], CampaignGraph],
    facts: BatchContext,
    now: datetime,
) -> Batch:
    """What is to become of these people, given by where they stand. Each is in exactly one
    transition, or among the paused."""
    paused: list[DueState] = []
    transitions: list[Transition] = []
    for place, group in people.items():
        if place.enrollment_status == "paused":
            paused.extend(group)
            continue
        graph = graphs[(place.campaign_id, place.campaign_version)]
        if place.enrollment_status != "active":
            transitions.append(_ended_outside(graph, place.node_id, group, place.enrollment_status))
            continue
        tired = [person for person in group if person.steps_taken >= MAX_NODES_PER_LIFE]
        if tired:
            transitions.append(_worn_out(graph, place.node_id, tired))
            group = [person for person in group if person.steps_taken < MAX_NODES_PER_LIFE]
        if group:
            transitions.extend(
                _Walker(graph, facts, now).walk(group, place.node_id, place.resume_port)
            )
    return Batch(tuple(transitions), tuple(paused))


class _Walker:
    """Carries groups of one campaign version through its graph."""

    def __init__(self, graph: CampaignGraph, facts: BatchContext, now: datetime) -> None:
        self._graph = graph
        self._facts = facts
        self._now = now
        self._done: list[Transition] = []
        self._open: list[_Walk] = []

    def walk(
        self, people: Sequence[DueState], node_id: str, resume_port: str | None
    ) -> list[Transition]:
        """Start at a node (or on leaving it by `resume_port`) and go on until everybody has
        stopped."""
        node = self._graph.nodes.get(node_id)
        if node is None:
            self._stop_failed(
                _Walk(people, node_id), f"node {node_id!r} is not in this version of the campaign"
            )
            return self._done
        if resume_port is None:
            self._open.append(_Walk(people, node_id))
        else:
            left = _Walk(people, node_id, events=_completed_wait(node, resume_port))
            self._leave(left, node, resume_port)
        while self._open:
            self._visit(self._open.pop())
        return self._done

    def _visit(self, walk: _Walk) -> None:
        if len(walk.path) >= MAX_NODES_PER_TICK:
            node = self._graph.nodes[walk.node_id]
            self._stop(walk, node, "running", due_at=self._now + _PAUSE_AFTER_MANY_NODES)
            return
        node = self._graph.nodes[walk.node_id]
        walk = replace(walk, path=(*walk.path, walk.node_id))
        for answer in self._answers(node, walk.people):
            self._follow(walk, node, answer)

    def _answers(self, node: GraphNode, people: Sequence[DueState]) -> list[NodeOutcome]:
        operator = OPERATORS[node.node_type]
        try:
            return operator(NodeVisit(node, people, self._facts, self._now))
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever an operator stumbles over, only the person it concerns may stop there.
            if len(people) == 1:
                return [
                    NodeOutcome(
                        people, Fail(f"{node.node_type} node {node.node_id!r}: {_describe(error)}")
                    )
                ]
            middle = len(people) // 2
            return self._answers(node, people[:middle]) + self._answers(node, people[middle:])

    def _follow(self, walk: _Walk, node: GraphNode, answer: NodeOutcome) -> None:
        walk = _Walk(
            answer.people,
            walk.node_id,
            walk.path,
            walk.events + answer.events,
            (*walk.assignments, answer.assignment) if answer.assignment else walk.assignments,
            walk.changes + answer.changes,
        )
        match answer.then:
            case Leave(port):
                self._leave(walk, node, port)
            case Park(until, resume_port, for_event):
                self._stop(
                    walk,
                    node,
                    "waiting",
                    due_at=until,
                    wait_until=until,
                    wait_for_event=for_event,
                    resume_port=resume_port,
                )
            case Send(channel):
                self._stop_sending(walk, node, channel)
            case End(status, reason):
                self._end(walk, node, status, reason)
            case Fail(error):
                # The node was not passed: it is entered again when its turn comes.
                self._stop_failed(replace(walk, path=walk.path[:-1]), error)

    def _leave(self, walk: _Walk, node: GraphNode, port: str) -> None:
        edge = node.ports.get(port)
        if edge is None:
            self._end(walk, node, "completed", None)
        elif edge.delay_seconds:
            due_at = self._now + timedelta(seconds=edge.delay_seconds)
            target = self._graph.nodes[edge.target]
            self._stop(walk, target, "waiting", due_at=due_at, wait_until=due_at)
        else:
            self._open.append(replace(walk, node_id=edge.target))

    def _end(self, walk: _Walk, node: GraphNode, status: str, reason: str | None) -> None:
        if status == "completed":
            note = EventNote("enrollment_completed", node.node_id, node.step_id)
            self._stop(_noting(walk, note), node, "completed", enrollment_status="completed")
            return
        note = EventNote("enrollment_exited", node.node_id, node.step_id, {"reason": reason})
        self._stop(
            _noting(walk, note), node, "exited", exit_reason=reason, enrollment_status="completed"
        )

    def _stop_sending(self, walk: _Walk, node: GraphNode, channel: str) -> None:
        split, variant = self._graph.variant_of_node.get(node.node_id, (None, None))
        passed = len(walk.path) - 1
        transition = _transition(walk, node, "waiting", resume_port=PORT_DEFAULT)
        self._done.append(
            replace(
                transition,
                delivery=DeliveryNote(channel, node.node_id, node.step_id, split, variant),
                delivery_ids=[
                    delivery_id(person.id, node.node_id, person.steps_taken + passed)
                    for person in walk.people
                ],
            )
        )

    def _stop_failed(self, walk: _Walk, error: str) -> None:
        node = self._graph.nodes.get(walk.node_id)
        step_id = node.step_id if node else None
        for (attempt, is_final, delay), people in self._by_retry(walk.people).items():
            data = {"error": error, "attempt": attempt}
            event_type = "enrollment_failed" if is_final else "retry_scheduled"
            note = EventNote(event_type, walk.node_id, step_id, data)
            due_at = None if is_final else self._now + timedelta(seconds=delay)
            self._done.append(
                Transition(
                    people=people,
                    node_id=walk.node_id,
                    step_id=step_id,
                    status="failed" if is_final else "running",
                    path=walk.path,
                    events=(*walk.events, note),
                    assignments=walk.assignments,
                    changes=walk.changes,
                    due_at=due_at,
                    retry_count=attempt,
                    error=error,
                )
            )

    def _by_retry(
        self, people: Sequence[DueState]
    ) -> dict[tuple[int, bool, float], list[DueState]]:
        found: dict[tuple[int, bool, float], list[DueState]] = {}
        for person in people:
            attempt = person.retry_count + 1
            is_final = attempt > person.max_retries
            delay = 0.0 if is_final else retry_delay_seconds(attempt, person.id)
            found.setdefault((attempt, is_final, delay), []).append(person)
        return found

    def _stop(
        self,
        walk: _Walk,
        node: GraphNode,
        status: str,
        *,
        due_at: datetime | None = None,
        wait_until: datetime | None = None,
        wait_for_event: str | None = None,
        resume_port: str | None = None,
        exit_reason: str | None = None,
        enrollment_status: str | None = None,
    ) -> None:
        self._done.append(
            replace(
                _transition(walk, node, status, resume_port=resume_port),
                due_at=due_at,
                wait_until=wait_until,
                wait_for_event=wait_for_event,
                exit_reason=exit_reason,
                enrollment_status=enrollment_status,
            )
        )


def _transition(
    walk: _Walk, node: GraphNode, status: str, *, resume_port: str | None
) -> Transition:
    return Transition(
        people=walk.people,
        node_id=node.node_id,
        step_id=node.step_id,
        status=status,  # type: ignore[arg-type]  # the walk's own literals
        path=walk.path,
        events=walk.events,
        assignments=walk.assignments,
        changes=walk.changes,
        resume_port=resume_port,
    )


def _noting(walk: _Walk, note: EventNote) -> _Walk:
    return replace(walk, events=(*walk.events, note))


def _completed_wait(node: GraphNode, port: str) -> tuple[EventNote, ...]:
    if node.node_type is not NodeType.WAIT:
        return ()
    return (EventNote("wait_completed", node.node_id, node.step_id, {"port": port}),)


_ENDS_OUTSIDE: Final[Mapping[str, str]] = {
    "unsubscribed": "unsubscribed",
    "bounced": "suppressed",
    "completed": "removed",
}


def _ended_outside(
    graph: CampaignGraph, node_id: str, people: Sequence[DueState], enrollment_status: str
) -> Transition:
    """An application ended the enrollment: the state follows; what the application wrote there
    stays."""
    node = graph.nodes.get(node_id)
    reason = _ENDS_OUTSIDE.get(enrollment_status, "removed")
    step_id = node.step_id if node else None
    note = EventNote("enrollment_exited", node_id, step_id, {"reason": reason})
    return Transition(people, node_id, step_id, "exited", events=(note,), exit_reason=reason)


def _worn_out(graph: CampaignGraph, node_id: str, people: Sequence[DueState]) -> Transition:
    error = f"passed {MAX_NODES_PER_LIFE:,} nodes; the campaign goes round without end"
    step_id = graph.nodes[node_id].step_id if node_id in graph.nodes else None
    note = EventNote("enrollment_failed", node_id, step_id, {"error": error})
    return Transition(people, node_id, step_id, "failed", events=(note,), error=error)


def _describe(error: Exception) -> str:
    # The text of a foreign error may quote a person's data; its kind does not.
    return type(error).__name__
