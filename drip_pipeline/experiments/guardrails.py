"""Guardrails: whether the leader has more unsubscribes, bounces or complaints than the runner-up.

Compares the totals, not the cohort, because harm counts as soon as it is known. Uses the same
always-valid p as the other comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drip_pipeline.domain.definition.ab_test import ABTestConfig, Guardrail
from drip_pipeline.experiments.counts import VariantCounts
from drip_pipeline.experiments.metrics import GUARDRAILS
from drip_pipeline.experiments.pairs import GroupSums, compare, or_none
from drip_pipeline.experiments.ranking import Ranking
from drip_pipeline.experiments.rates import rate_pct
from drip_pipeline.experiments.verdict import GuardrailResult


@dataclass(frozen=True, slots=True)
class LeaderGuard:
    """The competing variants of one test and their ranking."""

    variants: tuple[VariantCounts, ...]
    ranking: Ranking
    config: ABTestConfig


def check_guardrails(tests: Sequence[LeaderGuard]) -> list[tuple[GuardrailResult, ...]]:
    """Check every guardrail of every test, in the order of `tests`; () for a test without a leader.

    If several runners-up are tied, each is compared: to be worse than one of them is enough.
    """
    checks: list[tuple[int, Guardrail, VariantCounts, VariantCounts]] = []
    for position, test in enumerate(tests):
        if test.ranking.leader is None:
            continue
        leader = test.variants[test.ranking.leader]
        checks += [
            (position, guardrail, leader, test.variants[runner_up])
            for guardrail in test.config.guardrails
            for runner_up in test.ranking.runners_up
        ]
    results: list[list[GuardrailResult]] = [[] for _ in tests]
    if not checks:
        return [()] * len(tests)
    configs = [tests[position].config for position, *_ in checks]
    statistics = compare(
        [_harm(leader, GUARDRAILS[of].count_field) for _, of, leader, _ in checks],
        [_harm(other, GUARDRAILS[of].count_field) for _, of, _, other in checks],
        [c.alpha for c in configs],
        [c.minimum_sample_size for c in configs],
    )
    rows = zip(
        checks,
        configs,
        or_none(statistics.always_valid),
        statistics.difference.tolist(),
        strict=True,
    )
    for (position, guardrail, leader, other), config, p, difference in rows:
        field = GUARDRAILS[guardrail].count_field
        results[position].append(
            GuardrailResult(
                guardrail=guardrail,
                leader=leader.variant_group,
                runner_up=other.variant_group,
                leader_pct=rate_pct(getattr(leader, field), leader.total_sent),
                runner_up_pct=rate_pct(getattr(other, field), other.total_sent),
                p=p,
                is_worse=p is not None and difference > 0 and p <= config.alpha,
            )
        )
    return [tuple(of_test) for of_test in results]


def _harm(variant: VariantCounts, count_field: str) -> GroupSums:
    return GroupSums(variant.total_sent, getattr(variant, count_field))
