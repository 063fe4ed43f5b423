"""The estimates of one test that a report shows in addition to the verdict. Formulas are in
`intervals.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from drip_pipeline.experiments.counts import ABTest, CohortCounts
from drip_pipeline.experiments.intervals import (
    chance_to_be_best,
    chance_to_be_best_mean,
    fisher_p,
    holm,
    newcombe_interval,
    wilson_interval,
)
from drip_pipeline.experiments.sequential import always_valid_multiplier, mixture_variance
from drip_pipeline.experiments.verdict import Interval, Verdict
from drip_pipeline.experiments.welch import sample_statistics


@dataclass(frozen=True, slots=True)
class VariantEstimates:
    """Estimates of one variant. `interval`: always-valid, of the winner metric in percent.
    `chance_to_be_best`: 0 … 1, None for a holdout.
    """

    variant_group: str
    value_pct: float | None
    interval: Interval | None
    chance_to_be_best: float | None


@dataclass(frozen=True, slots=True)
class PairEstimates:
    """Estimates of one pair. `newcombe`: interval of a − b in percentage points, for one look.
    `holm_p`: the fixed-horizon p, adjusted for the number of pairs. `fisher_p`: only if an expected
    cell is under 5. A score has neither `newcombe` nor `fisher_p`.
    """

    a: str
    b: str
    newcombe: Interval | None
    holm_p: float | None
    fisher_p: float | None


@dataclass(frozen=True, slots=True)
class ReportEstimates:
    """The estimates of all variants and pairs of one test."""

    variants: tuple[VariantEstimates, ...]
    pairs: tuple[PairEstimates, ...]


def report_estimates(test: ABTest, verdict: Verdict) -> ReportEstimates:
    """Return the estimates of an evaluated test; for an invalid test only those its rates allow."""
    metric = test.config.winner_metric
    counts = test.tested()
    chances = _chances(test, counts, metric.is_score)
    total = sum(counts[v.variant_group].contacts for v in test.competing)
    variants = tuple(
        VariantEstimates(
            v.variant_group,
            v.value_pct,
            None if v.value_pct is None else _interval(test, counts[v.variant_group], total),
            chances.get(v.variant_group),
        )
        for v in verdict.variants
    )
    adjusted = holm([pair.chi2_p for pair in verdict.pairs])
    pairs = []
    for pair, holm_p in zip(verdict.pairs, adjusted, strict=True):
        a, b = counts[pair.a], counts[pair.b]
        newcombe = exact = None
        if not metric.is_score:
            newcombe = newcombe_interval(
                a.successes, a.contacts, b.successes, b.contacts, test.config.confidence_threshold
            )
            exact = fisher_p(a.successes, a.contacts, b.successes, b.contacts)
        pairs.append(PairEstimates(pair.a, pair.b, newcombe, holm_p, exact))
    return ReportEstimates(variants, tuple(pairs))


def _interval(test: ABTest, counts: CohortCounts, total: int) -> Interval | None:
    """Return the always-valid interval of one variant's rate in percent; its information grows with
    the contacts of the whole test.
    """
    config = test.config
    clock = mixture_variance(config.alpha, config.minimum_sample_size) * max(total, counts.contacts)
    z = float(always_valid_multiplier(clock, config.alpha))
    if config.winner_metric.is_score:
        mean, error = _mean(counts)
        if math.isnan(error):
            return None
        return 100 * max(0.0, mean - z * error), 100 * min(1.0, mean + z * error)
    bounds = wilson_interval(counts.successes, counts.contacts, z)
    return None if bounds is None else (100 * bounds[0], 100 * bounds[1])


def _mean(counts: CohortCounts) -> tuple[float, float]:
    """Return the mean score and its standard error; NaN with too few contacts or without sums."""
    sums: list[float | Decimal | None] = [counts.score_sum, counts.score_sum_squares]
    score, squares = (math.nan if s is None else float(s) for s in sums)
    sample = sample_statistics(counts.contacts, score, squares)
    return float(sample.mean), math.sqrt(float(sample.variance) / max(1, counts.contacts))


def _chances(test: ABTest, counts: dict[str, CohortCounts], is_score: bool) -> dict[str, float]:
    """Return the chance to be best by variant; empty if there is nothing to compare or the counts
    are impossible.
    """
    names = [v.variant_group for v in test.competing]
    tested = [counts[name] for name in names]
    if len(names) < 2 or any(not 0 <= c.successes <= c.contacts for c in tested):
        return {}
    if is_score:
        summaries = [_mean(c) for c in tested]
        best = chance_to_be_best_mean([m for m, _ in summaries], [e for _, e in summaries])
    else:
        best = chance_to_be_best([c.successes for c in tested], [c.contacts for c in tested])
    return dict(zip(names, best, strict=True)) if best is not None else {}
