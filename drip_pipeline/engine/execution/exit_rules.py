"""Judge which runs the exit rules of their campaigns end.

The same rules are judged on entry (engine/enrollment/exit_refusals.py), at each step (execute.py),
at the eligibility check (engine/delivery/exit_check.py) and when an event arrives
(exit_by_rules.py). Versions without exit rules cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.graph.exits import ExitRule, first_to_hold
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.execution import batch_context
from drip_pipeline.engine.execution.batch_context import BatchContext
from drip_pipeline.engine.execution.transitions import EventNote, NodePosition, Transition


class LeavingStates(NamedTuple):
    """States whose run ends by the same rule."""

    rule: ExitRule
    states: list[DueState]


def split_leaving(
    graph: CampaignGraph, states: Sequence[DueState], context: BatchContext
) -> tuple[list[LeavingStates], Sequence[DueState]]:
    """Return the states whose run an exit rule ends, and the others."""
    leaving: dict[str, LeavingStates] = {}
    staying: list[DueState] = []
    for state in states:
        rule = first_to_hold(graph.exits, context.of(state))
        if rule is None:
            staying.append(state)
        elif rule.id in leaving:
            leaving[rule.id].states.append(state)
        else:
            leaving[rule.id] = LeavingStates(rule, [state])
    return (list(leaving.values()), staying) if leaving else ([], states)


def judge(
    connection: Connection,
    states: Sequence[DueState],
    graphs: Mapping[tuple[UUID, int], CampaignGraph],
    now: datetime,
) -> list[LeavingStates]:
    """Return those of these states whose run an exit rule ends, wherever they are.

    A state of which a value cannot be read stays: the step that reads it reports it. The number of
    statements does not depend on the number of states.
    """
    by_version: dict[tuple[UUID, int], list[DueState]] = {}
    for state in states:
        by_version.setdefault((state.campaign_id, state.campaign_version), []).append(state)
    groups = {NodePosition(*key, "", None, "active"): group for key, group in by_version.items()}
    judging = {key: graphs[key].for_exits() for key in by_version}
    context = batch_context.load(connection, groups, judging, now)
    leaving: list[LeavingStates] = []
    for key, group in by_version.items():
        readable = [state for state in group if state.id not in context.unreadable]
        leaving += split_leaving(graphs[key], readable, context)[0]
    return leaving


def exit_note(rule: ExitRule, node_id: str | None, step_id: str | None) -> EventNote:
    """Return the event of an exit by a rule, with its reason and its id."""
    data = {"reason": rule.why, "exit": rule.id}
    return EventNote("enrollment_exited", node_id, step_id, data)


def ended_by(rule: ExitRule, transition: Transition) -> Transition:
    """Return the transition as one that ends the runs by a rule, at its node."""
    note = exit_note(rule, transition.node_id, transition.step_id)
    return replace(
        transition,
        status="exited",
        events=(*transition.events, note),
        exit_reason=rule.why,
        enrollment_status="completed",
    )
