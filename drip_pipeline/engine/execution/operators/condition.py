"""The condition node: take the first branch with a true condition, or the else branch."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.conditions.compared_values import Reader, reader_of_conditions
from drip_pipeline.domain.conditions.conditions import Predicate, compile_condition
from drip_pipeline.domain.graph.nodes import ConditionConfig
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit


def choose_branch(visit: NodeVisit) -> list[NodeOutcome]:
    """Return one outcome per branch taken; its event has the values that decided of each state."""
    config = visit.node.config
    assert isinstance(config, ConditionConfig)
    tests, otherwise, values_of = _compiled(config)
    chosen: dict[str, list[DueState]] = {}
    compared: dict[UUID, str] = {}
    for state in visit.states:
        facts = visit.context.of(state)
        branch = next((branch for branch, holds in tests if holds(facts)), otherwise)
        chosen.setdefault(branch, []).append(state)
        if values_of is not None:
            compared[state.id] = values_of(facts)
    return [
        NodeOutcome(
            states,
            Leave(branch),
            (visit.note("condition_evaluated", branch=branch).with_compared(compared),),
        )
        for branch, states in chosen.items()
    ]


class _Compiled(NamedTuple):
    """The branches with their predicates, the else branch, and what is logged of the values."""

    tests: tuple[tuple[str, Predicate], ...]
    otherwise: str
    values_of: Reader | None


@lru_cache(maxsize=4096)
def _compiled(config: ConditionConfig) -> _Compiled:
    tests = tuple(
        (branch.id, compile_condition(branch.condition))
        for branch in config.branches
        if branch.condition is not None
    )
    otherwise = next(branch.id for branch in config.branches if branch.condition is None)
    conditions = [branch.condition for branch in config.branches if branch.condition is not None]
    return _Compiled(tests, otherwise, reader_of_conditions(conditions))
