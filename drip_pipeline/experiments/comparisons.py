"""Comparison of the variants of a test: the test over all variants, every pair, and the smallest
expected cell.

Computes thousands of tests in one call: tests of one shape (number of variants, kind of metric) go
through numpy together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from drip_pipeline.domain.definition.ab_test import ABTestConfig, DecisionMethod
from drip_pipeline.experiments.chi_square import (
    Floats,
    chi_square_p,
    floats,
    smallest_expected_cell,
    table_chi_square,
)
from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.pairs import (
    GroupSums,
    PairStatistics,
    compare,
    interval_points,
    or_none,
    untestable,
)
from drip_pipeline.experiments.sequential import planned_p, planned_progress
from drip_pipeline.experiments.verdict import PairResult
from drip_pipeline.experiments.welch import sample_statistics, welch_anova_p


@dataclass(frozen=True, slots=True)
class Arms:
    """The tested sums of the competing variants of one test. `shares`: the configured split, None
    if unknown.
    """

    names: tuple[str, ...]
    groups: tuple[GroupSums, ...]
    shares: tuple[float, ...] | None
    config: ABTestConfig

    @property
    def is_score(self) -> bool:
        """True if groups hold scores instead of successes."""
        return self.groups[0].squares is not None


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """The comparison of one test's variants. `p_value`: fixed-horizon test over all variants.
    `plan_complete`: every pair has the planned information.
    """

    p_value: float | None
    p_value_reason: Reason | None
    min_expected_cell: float | None
    pairs: tuple[PairResult, ...]
    plan_complete: bool


def compare_many(tests: Sequence[Arms]) -> list[VariantComparison]:
    """Compare the variants of each test, two or more each. Results in the order of `tests`."""
    by_shape: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for position, arms in enumerate(tests):
        by_shape[len(arms.groups), arms.is_score].append(position)
    results: dict[int, VariantComparison] = {}
    for positions in by_shape.values():
        alike = [tests[i] for i in positions]
        results.update(zip(positions, _compare_alike(alike), strict=True))
    return [results[i] for i in range(len(tests))]


def _compare_alike(tests: list[Arms]) -> list[VariantComparison]:
    """Compare tests with the same number of variants and the same kind of metric."""
    n = floats([[g.contacts for g in t.groups] for t in tests])
    x = floats([[g.total for g in t.groups] for t in tests])
    if tests[0].is_score:
        p = welch_anova_p(
            sample_statistics(n, x, floats([[g.squares or 0.0 for g in t.groups] for t in tests]))
        )
    else:
        p = chi_square_p(table_chi_square(x, n), n.shape[1] - 1)
    cells = or_none(smallest_expected_cell(x, n))
    overall = or_none(p)
    couples = list(combinations(range(n.shape[1]), 2))
    pair_rows, complete = _all_pairs(tests, couples)
    width = len(couples)
    results = []
    for row, test in enumerate(tests):
        reason = untestable(test.groups)
        p_value = overall[row] if reason is None else None
        if reason is None and p_value is None:
            reason = Reason.NO_VARIANCE
        pairs = tuple(pair_rows[row * width : (row + 1) * width])
        results.append(VariantComparison(p_value, reason, cells[row], pairs, complete[row]))
    return results


def _all_pairs(
    tests: list[Arms], couples: list[tuple[int, int]]
) -> tuple[list[PairResult], list[bool]]:
    """Return all pairs, test after test, and for each test whether its plan is complete."""
    first = [t.groups[i] for t in tests for i, _ in couples]
    second = [t.groups[j] for t in tests for _, j in couples]
    repeated = [t.config for t in tests for _ in couples]
    statistics = compare(
        first, second, [c.alpha for c in repeated], [c.minimum_sample_size for c in repeated]
    )
    decision, progress = _decision_p(tests, couples, statistics)
    low, high = interval_points(statistics, decision)
    complete = [bool(of_test.min() >= 1) for of_test in progress.reshape(len(tests), -1)]
    rows = zip(
        or_none(statistics.shown),
        or_none(statistics.shown_p),
        or_none(decision),
        or_none(low),
        or_none(high),
        strict=True,
    )
    results = []
    for position, (shown, p, decision_p, lower, upper) in enumerate(rows):
        test, (i, j) = tests[position // len(couples)], couples[position % len(couples)]
        reason = None
        if p is None:
            reason = untestable((test.groups[i], test.groups[j])) or Reason.NO_VARIANCE
        elif decision_p is None:
            reason = Reason.BEFORE_HORIZON
        interval = None if lower is None or upper is None else (lower, upper)
        pair = PairResult(test.names[i], test.names[j], shown, p, decision_p, interval, reason)
        results.append(pair)
    return results, complete


def _decision_p(
    tests: list[Arms], couples: list[tuple[int, int]], statistics: PairStatistics
) -> tuple[Floats, Floats]:
    """Return the p that decides by each test's method and the progress towards the plan, both per
    pair.

    The p of a fixed horizon is NaN before every variant has the planned sample.
    """
    decision = statistics.always_valid.copy()
    progress = np.zeros_like(decision)
    width = len(couples)
    for method in (DecisionMethod.PLANNED, DecisionMethod.FIXED_HORIZON):
        chosen = [i for i, t in enumerate(tests) if t.config.decision_method is method]
        if not chosen:
            continue
        where = (np.asarray(chosen)[:, None] * width + np.arange(width)).ravel()
        n = floats([[g.contacts for g in tests[i].groups] for i in chosen])
        planned = floats([tests[i].config.planned_sample_size or 1 for i in chosen])[:, None]
        if method is DecisionMethod.FIXED_HORIZON:
            reached = n.min(axis=1, keepdims=True) / planned
            progress[where] = np.repeat(reached, width, axis=1).ravel()
            decision[where] = np.where(progress[where] >= 1, statistics.shown_p[where], np.nan)
            continue
        of_pair = planned_progress(
            n[:, [i for i, _ in couples]], n[:, [j for _, j in couples]], planned
        )
        # Uneven shares: a pair with more contacts would pass its own last look long before the
        # others and have further looks; on the slowest pair's clock all pairs end together. Even
        # shares divide by 1.
        of_pair /= floats([_pace(tests[i].shares, couples) for i in chosen])
        progress[where] = of_pair.ravel()
        sure = planned_p(statistics.statistic[where], progress[where])
        decision[where] = np.maximum(sure, statistics.shown_p[where])
    return decision, progress


def _pace(shares: tuple[float, ...] | None, couples: list[tuple[int, int]]) -> list[float]:
    """Return how much faster each pair gathers information than the slowest pair of the test; 1 if
    the shares are unknown.
    """
    if shares is None or min(shares) <= 0:
        return [1.0] * len(couples)
    harmonic = [shares[i] * shares[j] / (shares[i] + shares[j]) for i, j in couples]
    slowest = min(harmonic)
    return [h / slowest for h in harmonic]
