"""The lift of each variant over the holdout: contacts that are sent nothing, counted over those
assigned. A holdout never competes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drip_pipeline.domain.definition.ab_test import ABTestConfig
from drip_pipeline.experiments.chi_square import Floats, floats
from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.pairs import (
    GroupSums,
    compare,
    interval_points,
    or_none,
    relative_interval_pct,
    untestable,
)
from drip_pipeline.experiments.verdict import HoldoutLift


@dataclass(frozen=True, slots=True)
class HoldoutComparison:
    """One variant and the holdout of its test. `partly_unsent`: some contacts assigned to the
    variant were sent nothing.
    """

    variant_group: str
    variant: GroupSums
    holdout: GroupSums
    config: ABTestConfig
    partly_unsent: bool


def no_lift(variant_group: str, reason: Reason) -> HoldoutLift:
    """Return a lift without values for a variant that cannot be compared with the holdout."""
    return HoldoutLift(variant_group, None, None, None, None, None, None, reason)


def lifts(comparisons: Sequence[HoldoutComparison]) -> list[HoldoutLift]:
    """Return the always-valid lift of each variant over its holdout, independent of the test's
    decision method, in the order of `comparisons`.
    """
    results: dict[int, HoldoutLift] = {}
    for is_score in (False, True):
        chosen = [
            i for i, c in enumerate(comparisons) if (c.variant.squares is not None) is is_score
        ]
        if chosen:
            alike = [comparisons[i] for i in chosen]
            results.update(zip(chosen, _alike(alike, is_score), strict=True))
    return [results[i] for i in range(len(comparisons))]


def _alike(comparisons: list[HoldoutComparison], is_score: bool) -> list[HoldoutLift]:
    statistics = compare(
        [c.variant for c in comparisons],
        [c.holdout for c in comparisons],
        [c.config.alpha for c in comparisons],
        [c.config.minimum_sample_size for c in comparisons],
    )
    low, high = interval_points(statistics, statistics.always_valid)
    relative_low: Floats = floats([float("nan")] * len(comparisons))
    relative_high = relative_low
    if not is_score:
        relative_low, relative_high = relative_interval_pct(
            statistics,
            floats([c.variant.total for c in comparisons]),
            floats([c.variant.contacts for c in comparisons]),
            floats([c.holdout.total for c in comparisons]),
            floats([c.holdout.contacts for c in comparisons]),
            statistics.always_valid,
        )
    columns = zip(
        comparisons,
        or_none(100 * statistics.difference),
        or_none(low),
        or_none(high),
        or_none(relative_low),
        or_none(relative_high),
        or_none(statistics.shown_p),
        or_none(statistics.always_valid),
        strict=True,
    )
    results = []
    for c, difference, lower, upper, rel_lower, rel_upper, p, decision_p in columns:
        reason = untestable((c.variant, c.holdout))
        if reason is None and p is None:
            reason = Reason.NO_VARIANCE
        results.append(
            HoldoutLift(
                variant_group=c.variant_group,
                difference=difference,
                interval=None if lower is None or upper is None else (lower, upper),
                relative=_relative_pct(c.variant, c.holdout),
                relative_interval=(
                    None if rel_lower is None or rel_upper is None else (rel_lower, rel_upper)
                ),
                chi2_p=p,
                decision_p=decision_p,
                reason=reason,
                partly_unsent=c.partly_unsent,
            )
        )
    return results


def _relative_pct(variant: GroupSums, holdout: GroupSums) -> float | None:
    """Return 100·(rate / holdout's rate − 1); None if a rate is unknown or the holdout's is 0."""
    if variant.contacts <= 0 or holdout.contacts <= 0 or holdout.total <= 0:
        return None
    ratio = (variant.total * holdout.contacts) / (variant.contacts * holdout.total)
    return 100 * (ratio - 1)
