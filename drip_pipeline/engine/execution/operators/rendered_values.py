"""Actions whose values are templates: variables of the run, and field updates from data.

Each state has its own values. A state of which they cannot be rendered, or whose variables would
become too large, fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.graph.graph import PORT_DEFAULT
from drip_pipeline.domain.graph.nodes import FieldUpdateAction, VariableAction
from drip_pipeline.domain.run_variables import VARS, data_problem
from drip_pipeline.domain.templates.render_budget import RenderBudget
from drip_pipeline.domain.templates.value_templates import render_values
from drip_pipeline.engine.execution.operators.protocol import (
    Fail,
    Leave,
    NodeOutcome,
    NodeVisit,
)
from drip_pipeline.engine.execution.transitions import ContactChange
from drip_pipeline.errors import TemplateBudgetExceeded, TemplateError

Value = TypeVar("Value")


def set_variables(visit: NodeVisit, config: VariableAction) -> list[NodeOutcome]:
    """Set the variables of each run, and continue."""

    def values_of(state: DueState) -> dict[str, object]:
        rendered = _render(visit, state, config.set)
        assert isinstance(rendered, dict)
        merged = {**(visit.context.variables_of(state).vars or {}), **rendered}
        values = {name: value for name, value in merged.items() if value is not None}
        problem = data_problem(values)
        if problem is not None:
            raise _ValueError(f"the run's variables ({VARS}) would become too large: {problem}")
        return values

    values, failed = _each(visit, values_of)
    states = [state for state in visit.states if state.id in values]
    for state in states:
        visit.context.set_vars(state, values[state.id])
    if not states:
        return failed
    # The values are not logged: they may be personal data.
    events = tuple(visit.note("field_updated", field=f"{VARS}.{name}") for name in config.set)
    return [NodeOutcome(states, Leave(PORT_DEFAULT), events), *failed]


def update_field(visit: NodeVisit, config: FieldUpdateAction) -> list[NodeOutcome]:
    """Write the field of each contact from its own data, and continue."""
    values, failed = _each(visit, lambda state: _render(visit, state, config.value))
    states = [state for state in visit.states if state.id in values]
    if not states:
        return failed
    kind, name = config.target
    change = ContactChange(kind, name=name, values=values)
    visit.context.apply(change, states)
    events = (visit.note("field_updated", field=config.field),)
    return [NodeOutcome(states, Leave(PORT_DEFAULT), events, changes=(change,)), *failed]


class _ValueError(Exception):
    """A value that the run cannot have."""


def _render(visit: NodeVisit, state: DueState, value: object) -> object:
    return render_values(value, visit.context.template_context(state), RenderBudget())


def _each(
    visit: NodeVisit, value_of: Callable[[DueState], Value]
) -> tuple[dict[UUID, Value], list[NodeOutcome]]:
    """Return the values by state, and the failures of states that have none."""
    values: dict[UUID, Value] = {}
    failed: dict[str, list[DueState]] = {}
    for state in visit.states:
        try:
            values[state.id] = value_of(state)
        except (TemplateError, TemplateBudgetExceeded, _ValueError) as error:
            failed.setdefault(str(error), []).append(state)
    return values, _failures(visit, failed.items())


def _failures(visit: NodeVisit, failed: Iterable[tuple[str, list[DueState]]]) -> list[NodeOutcome]:
    where = f"action node {visit.node.node_id!r}"
    return [NodeOutcome(states, Fail(f"{where}: {error}")) for error, states in failed]
