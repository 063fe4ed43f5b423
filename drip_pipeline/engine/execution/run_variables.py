"""Load the variables of runs for a batch, and write those that it changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution import run_variables as run_variables_db
from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.db.unreadable import Unreadable
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.reachability import Reachability
from drip_pipeline.domain.run_variables import RunVariables, columns_of, stored_variables
from drip_pipeline.engine.execution.transitions import Transition

ReadingStates: TypeAlias = tuple[Reachability, CampaignGraph, Sequence[DueState]]
"""States that read variables, their graph, and what they can reach in this batch."""


def load(
    connection: Connection, reading: Iterable[ReadingStates]
) -> tuple[dict[UUID, RunVariables], dict[UUID, str]]:
    """Return the variables by state, and by state why it cannot be executed: one statement."""
    is_entered_by_event: dict[UUID, bool] = {}
    columns: set[str] = set()
    for ahead, graph, states in reading:
        by_event = graph.is_entered_by_event
        columns |= columns_of(ahead.needs.variables, is_entered_by_event=by_event)
        is_entered_by_event |= dict.fromkeys((state.id for state in states), by_event)
    variables: dict[UUID, RunVariables] = {}
    unreadable: dict[UUID, str] = {}
    for state_id, *stored in run_variables_db.read(connection, list(is_entered_by_event), columns):
        for value in stored:
            if isinstance(value, Unreadable):
                unreadable[state_id] = (
                    f"column {value.column} of enrollment {state_id} cannot be read: {value.reason}"
                )
        variables[state_id] = stored_variables(
            *stored, is_entered_by_event=is_entered_by_event[state_id]
        )
    return variables, unreadable


def write(connection: Connection, transitions: Iterable[Transition]) -> None:
    """Write the variables that these transitions changed; no statement if there are none."""
    changed = {
        state.id: transition.variables[state.id]
        for transition in transitions
        if transition.variables
        for state in transition.states
        if state.id in transition.variables
    }
    if changed:
        run_variables_db.write(connection, changed)
