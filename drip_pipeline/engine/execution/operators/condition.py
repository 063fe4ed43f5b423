"""The condition node: take the first branch with a true condition, or the else branch."""

from __future__ import annotations

from functools import lru_cache

from drip_pipeline.db.execution.workflow_states import DueState
from drip_pipeline.domain.conditions.conditions import Predicate, compile_condition
from drip_pipeline.domain.graph.nodes import ConditionConfig
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit


def choose_branch(visit: NodeVisit) -> list[NodeOutcome]:
    """Return one outcome per branch taken."""
    config = visit.node.config
    assert isinstance(config, ConditionConfig)
    tests, otherwise = _compiled(config)
    chosen: dict[str, list[DueState]] = {}
    for state in visit.states:
        facts = visit.context.of(state)
        branch = next((branch for branch, holds in tests if holds(facts)), otherwise)
        chosen.setdefault(branch, []).append(state)
    return [
        NodeOutcome(states, Leave(branch), (visit.note("condition_evaluated", branch=branch),))
        for branch, states in chosen.items()
    ]


@lru_cache(maxsize=4096)
def _compiled(config: ConditionConfig) -> tuple[tuple[tuple[str, Predicate], ...], str]:
    tests = tuple(
        (branch.id, compile_condition(branch.condition))
        for branch in config.branches
        if branch.condition is not None
    )
    otherwise = next(branch.id for branch in config.branches if branch.condition is None)
    return tests, otherwise
