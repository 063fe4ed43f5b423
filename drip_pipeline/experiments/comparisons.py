"""All figures of a test that compare its variants: the test over all, every pair, the smallest
expected cell.

Thousands of tests in one call: tests of one shape (number of variants, kind of metric) go through
numpy together.
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
    Group,
    Pairs,
    compare,
    interval_points,
    or_none,
    untestable,
)
from drip_pipeline.experiments.sequential import planned_p, planned_progress
from drip_pipeline.experiments.verdict import PairResult
from drip_pipeline.experiments.welch import moments, welch_anova_p


@dataclass(frozen=True, slots=True)
class Arms:
    """The tested numbers of the competing variants of one test. `shares`: promised proportions,
    None when unknown.
    """

    names: tuple[str, ...]
    groups: tuple[Group, ...]
    shares: tuple[float, ...] | None
    config: ABTestConfig

    @property
    def is_score(self) -> bool:
        """True when groups carry scores instead of successes."""
        return self.groups[0].squares is not None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`p_value`: fixed-horizon test over all variants. `plan_complete`: every pair has the planned
    information.
    """

    p_value: float | None
    p_value_reason: Reason | None
    min_expected_cell: float | None
    pairs: tuple[PairResult, ...]
    plan_complete: bool


def compare_many(tests: Sequence[Arms]) -> list[Comparison]:
    """Compare the variants of each test; two or more variants each. Results in the order given."""
    by_shape: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for position, arms in enumerate(tests):
        by_shape[len(arms.groups), arms.is_score].append(position)
    results: dict[int, Comparison] = {}
    for positions in by_shape.values():
        alike = [tests[i] for i in positions]
        results.update(zip(positions, _compare_alike(alike), strict=True))
    return [results[i] for i in range(len(tests))]


def _compare_alike(tests: list[Arms]) -> list[Comparison]:
    """Tests with one number of variants and one kind of metric."""
    n = floats([[g.contacts for g in t.groups] for t in tests])
    x = floats([[g.total for g in t.groups] for t in tests])
    if tests[0].is_score:
        p = welch_anova_p(
            moments(n, x, floats([[g.squares or 0.0 for g in t.groups] for t in tests]))
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
        results.append(Comparison(p_value, reason, cells[row], pairs, complete[row]))
    return results


def _all_pairs(
    tests: list[Arms], couples: list[tuple[int, int]]
) -> tuple[list[PairResult], list[bool]]:
    """Every pair of every test, test after test, and per test whether the plan is complete."""
    first = [t.groups[i] for t in tests for i, _ in couples]
    second = [t.groups[j] for t in tests for _, j in couples]
    repeated = [t.config for t in tests for _ in couples]
    figures = compare(
        first, second, [c.alpha for c in repeated], [c.minimum_sample_size for c in repeated]
    )
    decision, progress = _decision_p(tests, couples, figures)
    low, high = interval_points(figures, decision)
    complete = [bool(of_test.min() >= 1) for of_test in progress.reshape(len(tests), -1)]
    rows = zip(
        or_none(figures.shown),
        or_none(figures.shown_p),
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
    tests: list[Arms], couples: list[tuple[int, int]], figures: Pairs
) -> tuple[Floats, Floats]:
    """The p that decides, by each test's method, and the progress towards the plan, both per pair.

    A fixed horizon says nothing (NaN) before every variant has the planned sample.
    """
    decision = figures.always_valid.copy()
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
            decision[where] = np.where(progress[where] >= 1, figures.shown_p[where], np.nan)
            continue
        of_pair = planned_progress(
            n[:, [i for i, _ in couples]], n[:, [j for _, j in couples]], planned
        )
        # Uneven shares: pairs with more people would pass their own last look long before the
        # others and be looked at on; measured on the slowest pair's clock all of them end together.
        # Even shares divide by 1.
        of_pair /= floats([_pace(tests[i].shares, couples) for i in chosen])
        progress[where] = of_pair.ravel()
        sure = planned_p(figures.statistic[where], progress[where])
        decision[where] = np.maximum(sure, figures.shown_p[where])
    return decision, progress


def _pace(shares: tuple[float, ...] | None, couples: list[tuple[int, int]]) -> list[float]:
    """How much faster each pair gathers information than the slowest pair of the test; 1 where
    shares are unknown.
    """
    if shares is None or min(shares) <= 0:
        return [1.0] * len(couples)
    harmonic = [shares[i] * shares[j] / (shares[i] + shares[j]) for i, j in couples]
    slowest = min(harmonic)
    return [h / slowest for h in harmonic]
