"""The condition node: each person takes the first branch whose condition holds, else the
else-branch."""

from __future__ import annotations

from functools import lru_cache

from drip_pipeline.domain.conditions.conditions import Predicate, compile_condition
from drip_pipeline.domain.graph.nodes import ConditionConfig
from drip_pipeline.engine.execution.operators.protocol import Leave, NodeOutcome, NodeVisit
from drip_pipeline.engine.execution.transitions import DueState


def choose_branch(visit: NodeVisit) -> list[NodeOutcome]:
    """One answer per branch that somebody takes."""
    config = visit.node.config
    assert isinstance(config, ConditionConfig)
    tests, otherwise = _compiled(config)
    chosen: dict[str, list[DueState]] = {}
    for person in visit.people:
        facts = visit.facts.of(person)
        branch = next((branch for branch, holds in tests if holds(facts)), otherwise)
        chosen.setdefault(branch, []).append(person)
    return [
        NodeOutcome(people, Leave(branch), (visit.note("condition_evaluated", branch=branch),))
        for branch, people in chosen.items()
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
