"""Compute the transitions of claimed states. Nothing is written here.

Each state passes, in memory, all nodes that take no time, until a wait, a delivery or the end.
States at the same node of the same version are executed as one group, and a group is split only by
an operator. So the cost is per group and node, not per state and node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.graph.graph import PORT_DEFAULT, CampaignGraph, GraphNode, NodeType
from drip_pipeline.domain.identity import delivery_id
from drip_pipeline.domain.retry import retry_delay_seconds
from drip_pipeline.domain.run_variables import JsonObject
from drip_pipeline.engine.execution.batch_context import BatchContext
from drip_pipeline.engine.execution.exit_rules import ended_by, split_leaving
from drip_pipeline.engine.execution.message_holds import HoldOfMessage, by_hold
from drip_pipeline.engine.execution.operators import OPERATORS
from drip_pipeline.engine.execution.operators.protocol import (
    End,
    Fail,
    Leave,
    NodeOutcome,
    NodeVisit,
    Operator,
    Park,
    Send,
)
from drip_pipeline.engine.execution.transitions import (
    AssignmentNote,
    Batch,
    ContactChange,
    DeliveryNote,
    EventNote,
    NodePosition,
    Status,
    Transition,
)
from drip_pipeline.engine.isolation import describe

MAX_NODES_PER_TICK: Final = 200
MAX_NODES_PER_LIFE: Final = 10_000
_PAUSE_AFTER_MANY_NODES = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A group of states on its way: its node, and what was recorded so far.

    The records are tuples because the parts of a split group share them.
    """

    states: Sequence[DueState]
    node_id: str
    path: tuple[str, ...] = ()
    events: tuple[EventNote, ...] = ()
    assignments: tuple[AssignmentNote, ...] = ()
    changes: tuple[ContactChange, ...] = ()


def execute(
    groups: Mapping[NodePosition, Sequence[DueState]],
    graphs: Mapping[tuple[UUID, int], CampaignGraph],
    context: BatchContext,
    now: datetime,
    operators: Mapping[NodeType, Operator] = OPERATORS,
) -> Batch:
    """Compute the transitions of these states; each is in exactly one transition, or paused.

    `operators`: the function of each node type, where a caller observes them.
    """
    paused: list[DueState] = []
    transitions: list[Transition] = []
    for position, group in groups.items():
        node_id, status = position.node_id, position.enrollment_status
        if status == "paused":
            paused.extend(group)
            continue
        graph = graphs[(position.campaign_id, position.campaign_version)]
        if status != "active":
            transitions.append(_ended_by_application(graph, node_id, group, status))
            continue
        looping = [state for state in group if state.steps_taken >= MAX_NODES_PER_LIFE]
        if looping:
            transitions.append(_stopped_in_loop(graph, node_id, looping))
            group = [state for state in group if state.steps_taken < MAX_NODES_PER_LIFE]
        if context.unreadable:
            transitions += _stopped_unreadable(graph, node_id, group, context.unreadable)
            group = [state for state in group if state.id not in context.unreadable]
        if group and graph.exits:
            leaving, group = split_leaving(graph, group, context)
            node = graph.nodes.get(node_id)
            step_id = node.step_id if node else None
            transitions += [
                ended_by(rule, Transition(states, node_id, step_id, "exited"))
                for rule, states in leaving
            ]
        if group:
            walker = _Walker(graph, context, now, operators)
            transitions.extend(walker.walk(group, node_id, position.resume_port))
    if context.changed_variables:
        transitions = [_with_variables(t, context.changed_variables) for t in transitions]
    return Batch(tuple(transitions), tuple(paused))


def _with_variables(
    transition: Transition, changed: Mapping[UUID, Mapping[str, JsonObject]]
) -> Transition:
    variables = {state.id: changed[state.id] for state in transition.states if state.id in changed}
    return replace(transition, variables=variables) if variables else transition


class _Walker:
    """Move groups of states of one campaign version through its graph."""

    def __init__(
        self,
        graph: CampaignGraph,
        context: BatchContext,
        now: datetime,
        operators: Mapping[NodeType, Operator],
    ) -> None:
        self._graph = graph
        self._context = context
        self._now = now
        self._operators = operators
        self._done: list[Transition] = []
        self._open: list[_Walk] = []

    def walk(
        self, states: Sequence[DueState], node_id: str, resume_port: str | None
    ) -> list[Transition]:
        """Enter a node, or leave it by `resume_port`, and continue until every state stopped."""
        node = self._graph.nodes.get(node_id)
        if node is None:
            self._stop_failed(
                _Walk(states, node_id), f"node {node_id!r} is not in this version of the campaign"
            )
            return self._done
        if resume_port is None:
            self._open.append(_Walk(states, node_id))
        else:
            left = _Walk(states, node_id, events=_completed_wait(node, resume_port))
            self._leave(left, node, resume_port)
        while self._open:
            self._visit(self._open.pop())
        return self._done

    def _visit(self, walk: _Walk) -> None:
        if len(walk.path) >= MAX_NODES_PER_TICK:
            node = self._graph.nodes[walk.node_id]
            due_at = self._now + _PAUSE_AFTER_MANY_NODES
            self._done.append(replace(_transition(walk, node, "running"), due_at=due_at))
            return
        node = self._graph.nodes[walk.node_id]
        if walk.changes and self._graph.exits:
            # An action of this batch changed the contacts.
            leaving, staying = split_leaving(self._graph, walk.states, self._context)
            self._done += [
                ended_by(rule, _transition(replace(walk, states=states), node, "exited"))
                for rule, states in leaving
            ]
            if not staying:
                return
            walk = replace(walk, states=staying)
        walk = replace(walk, path=(*walk.path, walk.node_id))
        for outcome in self._outcomes(node, walk.states):
            self._follow(walk, node, outcome)

    def _outcomes(self, node: GraphNode, states: Sequence[DueState]) -> list[NodeOutcome]:
        operator = self._operators[node.node_type]
        try:
            return operator(NodeVisit(node, states, self._context, self._now))
        except Exception as error:  # noqa: BLE001 - see below
            # An error of an operator stops only the state that it concerns.
            if len(states) == 1:
                message = f"{node.node_type} node {node.node_id!r}: {describe(error)}"
                return [NodeOutcome(states, Fail(message))]
            middle = len(states) // 2
            return self._outcomes(node, states[:middle]) + self._outcomes(node, states[middle:])

    def _follow(self, walk: _Walk, node: GraphNode, outcome: NodeOutcome) -> None:
        walk = _Walk(
            outcome.states,
            walk.node_id,
            walk.path,
            walk.events + outcome.events,
            (*walk.assignments, outcome.assignment) if outcome.assignment else walk.assignments,
            walk.changes + outcome.changes,
        )
        match outcome.then:
            case Leave(port):
                self._leave(walk, node, port)
            case Park(until, resume_port, for_event):
                self._done.append(
                    replace(
                        _transition(walk, node, "waiting", resume_port),
                        due_at=until,
                        wait_until=until,
                        wait_for_event=for_event,
                    )
                )
            case Send(channel):
                self._stop_sending(walk, node, channel)
            case End(status, reason):
                self._end(walk, node, status, reason)
            case Fail(error):
                # The node was not passed: the retry enters it again.
                self._stop_failed(replace(walk, path=walk.path[:-1]), error)

    def _leave(self, walk: _Walk, node: GraphNode, port: str) -> None:
        edge = node.ports.get(port)
        if edge is None:
            self._end(walk, node, "completed", None)
        elif edge.delay_seconds:
            due_at = self._now + timedelta(seconds=edge.delay_seconds)
            target = self._graph.nodes[edge.target]
            transition = _transition(walk, target, "waiting")
            self._done.append(replace(transition, due_at=due_at, wait_until=due_at))
        else:
            self._open.append(replace(walk, node_id=edge.target))

    def _end(self, walk: _Walk, node: GraphNode, status: str, reason: str | None) -> None:
        if status == "completed":
            note = EventNote("enrollment_completed", node.node_id, node.step_id)
            transition = _transition(_with_event(walk, note), node, "completed")
        else:
            note = EventNote("enrollment_exited", node.node_id, node.step_id, {"reason": reason})
            transition = _transition(_with_event(walk, note), node, "exited")
            transition = replace(transition, exit_reason=reason)
        self._done.append(replace(transition, enrollment_status="completed"))

    def _stop_sending(self, walk: _Walk, node: GraphNode, channel: str) -> None:
        rules = node.rules(self._context.rules_of(walk.states[0].campaign_id).quiet_hours)
        if not rules.has_any():
            self._queue_message(walk, node, channel, None)
            return
        for hold, states in by_hold(rules, walk.states, self._context, self._now):
            group = replace(walk, states=states)
            if hold is not None:
                data = {"rule": hold.rule, "until": hold.until.isoformat(), "channel": channel}
                note = EventNote("message_held", node.node_id, node.step_id, data)
                group = _with_event(group, note)
            self._queue_message(group, node, channel, hold)

    def _queue_message(
        self, walk: _Walk, node: GraphNode, channel: str, hold: HoldOfMessage | None
    ) -> None:
        split, variant = self._graph.variant_of_node.get(node.node_id, (None, None))
        passed = len(walk.path) - 1
        transition = _transition(walk, node, "waiting", PORT_DEFAULT)
        note = DeliveryNote(channel, node.node_id, node.step_id, split, variant)
        if self._context.rules_of(walk.states[0].campaign_id).caps:
            note = replace(note, cap_priority=self._graph.cap_priority(node.node_id))
        if hold is not None:
            note = replace(note, due_at=hold.until, held_by=hold.rule)
        self._done.append(
            replace(
                transition,
                delivery=note,
                delivery_ids=[
                    delivery_id(state.id, node.node_id, state.steps_taken + passed)
                    for state in walk.states
                ],
            )
        )

    def _stop_failed(self, walk: _Walk, error: str) -> None:
        node = self._graph.nodes.get(walk.node_id)
        step_id = node.step_id if node else None
        for (attempt, is_final, delay), states in _group_by_retry(walk.states).items():
            data = {"error": error, "attempt": attempt}
            event_type = "enrollment_failed" if is_final else "retry_scheduled"
            note = EventNote(event_type, walk.node_id, step_id, data)
            due_at = None if is_final else self._now + timedelta(seconds=delay)
            self._done.append(
                Transition(
                    states=states,
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


def _group_by_retry(
    states: Sequence[DueState],
) -> dict[tuple[int, bool, float], list[DueState]]:
    """Group failed states by attempt, whether it was the last, and the delay in seconds."""
    groups: dict[tuple[int, bool, float], list[DueState]] = {}
    for state in states:
        attempt = state.retry_count + 1
        is_final = attempt > state.max_retries
        delay = 0.0 if is_final else retry_delay_seconds(attempt, state.id)
        groups.setdefault((attempt, is_final, delay), []).append(state)
    return groups


def _transition(
    walk: _Walk, node: GraphNode, status: Status, resume_port: str | None = None
) -> Transition:
    return Transition(
        states=walk.states,
        node_id=node.node_id,
        step_id=node.step_id,
        status=status,
        path=walk.path,
        events=walk.events,
        assignments=walk.assignments,
        changes=walk.changes,
        resume_port=resume_port,
    )


def _with_event(walk: _Walk, note: EventNote) -> _Walk:
    return replace(walk, events=(*walk.events, note))


def _completed_wait(node: GraphNode, port: str) -> tuple[EventNote, ...]:
    if node.node_type is not NodeType.WAIT:
        return ()
    return (EventNote("wait_completed", node.node_id, node.step_id, {"port": port}),)


_EXIT_REASONS: Final[Mapping[str, str]] = {
    "unsubscribed": "unsubscribed",
    "bounced": "suppressed",
    "completed": "removed",
}


def _ended_by_application(
    graph: CampaignGraph, node_id: str, states: Sequence[DueState], enrollment_status: str
) -> Transition:
    """Exit states whose enrollment an application ended; the enrollment stays as it is."""
    node = graph.nodes.get(node_id)
    reason = _EXIT_REASONS.get(enrollment_status, "removed")
    step_id = node.step_id if node else None
    note = EventNote("enrollment_exited", node_id, step_id, {"reason": reason})
    return Transition(states, node_id, step_id, "exited", events=(note,), exit_reason=reason)


def _stopped_unreadable(
    graph: CampaignGraph,
    node_id: str,
    states: Sequence[DueState],
    reasons: Mapping[UUID, str],
) -> list[Transition]:
    """Fail states that read a value which Python cannot hold. Not retried: an operator corrects the
    value and requeues them."""
    step_id = graph.nodes[node_id].step_id if node_id in graph.nodes else None
    transitions = []
    for state in states:
        if (error := reasons.get(state.id)) is not None:
            note = EventNote("enrollment_failed", node_id, step_id, {"error": error})
            transition = Transition([state], node_id, step_id, "failed", events=(note,))
            transitions.append(replace(transition, resume_port=state.resume_port, error=error))
    return transitions


def _stopped_in_loop(graph: CampaignGraph, node_id: str, states: Sequence[DueState]) -> Transition:
    error = f"stopped after {MAX_NODES_PER_LIFE:,} nodes: the campaign loops"
    step_id = graph.nodes[node_id].step_id if node_id in graph.nodes else None
    note = EventNote("enrollment_failed", node_id, step_id, {"error": error})
    return Transition(states, node_id, step_id, "failed", events=(note,), error=error)
