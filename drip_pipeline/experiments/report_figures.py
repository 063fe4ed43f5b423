"""The reporting figures of one test in one record, for reports and plots. Formulas are in
`figures.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from drip_pipeline.experiments.counts import ABTest, CohortCounts
from drip_pipeline.experiments.figures import (
    chance_to_be_best,
    chance_to_be_best_mean,
    fisher_p,
    holm,
    newcombe_interval,
    wilson_interval,
)
from drip_pipeline.experiments.sequential import always_valid_multiplier, mixture_variance
from drip_pipeline.experiments.verdict import Interval, Verdict
from drip_pipeline.experiments.welch import moments


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """`interval`: always-valid, of the winner metric in percent. `chance_to_be_best`: 0 … 1, None
    for a holdout.
    """

    variant_group: str
    value_pct: float | None
    interval: Interval | None
    chance_to_be_best: float | None


@dataclass(frozen=True, slots=True)
class PairFigures:
    """`newcombe`: for one look, in percentage points of a − b. `holm_p`: the fixed-horizon p,
    adjusted for the number of pairs. `fisher_p`: only where an expected cell is under 5. None where
    there is none (a score has neither first nor last).
    """

    a: str
    b: str
    newcombe: Interval | None
    holm_p: float | None
    fisher_p: float | None


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """What a report shows beside the verdict."""

    variants: tuple[VariantFigures, ...]
    pairs: tuple[PairFigures, ...]


def report_figures(test: ABTest, verdict: Verdict) -> ReportFigures:
    """Reporting figures of a judged test; of an invalid one only what its rates allow."""
    metric = test.config.winner_metric
    counts = test.tested()
    chances = _chances(test, counts, metric.is_score)
    total = sum(counts[v.variant_group].contacts for v in test.competing)
    variants = tuple(
        VariantFigures(
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
        pairs.append(PairFigures(pair.a, pair.b, newcombe, holm_p, exact))
    return ReportFigures(variants, tuple(pairs))


def _interval(test: ABTest, counts: CohortCounts, total: int) -> Interval | None:
    """Always-valid interval of one variant's rate in percent, on the clock of the whole test."""
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
    """Mean score and its standard error; NaN where there are too few contacts or no sums."""
    sums: list[float | Decimal | None] = [counts.score_sum, counts.score_sum_squares]
    score, squares = (math.nan if s is None else float(s) for s in sums)
    found = moments(counts.contacts, score, squares)
    return float(found.mean), math.sqrt(float(found.variance) / max(1, counts.contacts))


def _chances(test: ABTest, counts: dict[str, CohortCounts], is_score: bool) -> dict[str, float]:
    """The chance to be best by variant; empty when there is nothing to compare or the counts cannot
    be true.
    """
    names = [v.variant_group for v in test.competing]
    tested = [counts[name] for name in names]
    if len(names) < 2 or any(not 0 <= c.successes <= c.contacts for c in tested):
        return {}
    if is_score:
        summaries = [_mean(c) for c in tested]
        found = chance_to_be_best_mean([m for m, _ in summaries], [e for _, e in summaries])
    else:
        found = chance_to_be_best([c.successes for c in tested], [c.contacts for c in tested])
    return dict(zip(names, found, strict=True)) if found is not None else {}
