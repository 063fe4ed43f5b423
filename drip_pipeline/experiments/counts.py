"""The counts of a test: totals of each variant, the cohort that the decision is based on, and the
checks that the counts are consistent.

A contact counts once per variant. Totals are used for the reported rates; the cohort, if there is
one, is used for the significance test (contacts sent long enough ago, without machine opens). No
statistics here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from drip_pipeline.domain.definition.ab_test import ABTestConfig, Metric
from drip_pipeline.experiments.codes import Reason, State
from drip_pipeline.experiments.metrics import METRICS

Score = float | Decimal


@dataclass(frozen=True, slots=True)
class CohortCounts:
    """The contacts that a decision is based on: sent (holdout: assigned) at least the attribution
    window ago.

    `successes` for the four rates; for `engagement_score` the sum and the sum of squares of
    per-contact scores in [0, 1].
    """

    contacts: int
    successes: int = 0
    score_sum: Score | None = None
    score_sum_squares: Score | None = None


@dataclass(frozen=True, slots=True)
class VariantCounts:
    """One variant of one split. Every count is of distinct contacts.

    `assigned` and `weight` (any unit, only the proportions matter) are used by the sample-ratio
    check. Without `cohort` the significance test uses the totals. A holdout is sent nothing: its
    rates are over `assigned`, and it never competes.
    """

    variant_group: str
    total_sent: int
    total_delivered: int = 0
    total_opened: int = 0
    total_clicked: int = 0
    total_replied: int = 0
    total_converted: int = 0
    total_unsubscribed: int = 0
    total_bounced: int = 0
    total_complained: int = 0
    assigned: int | None = None
    weight: float | None = None
    is_holdout: bool = False
    score_sum: Score | None = None
    score_sum_squares: Score | None = None
    cohort: CohortCounts | None = None

    @property
    def base(self) -> int:
        """The denominator of the rates: contacts sent, for a holdout contacts assigned."""
        return (self.assigned or 0) if self.is_holdout else self.total_sent


class SrmHold(StrEnum):
    """The result of earlier sample-ratio checks. A block stays until an operator clears it."""

    NONE = "none"
    BLOCKED = "blocked"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class PriorDecision:
    """A decision that was already taken. It is final: every later evaluation returns it."""

    state: State
    reason: Reason
    winner: str | None = None

    def __post_init__(self) -> None:
        if not self.state.is_terminal:
            raise ValueError(f"{self.state} is not a decision")


@dataclass(frozen=True, slots=True)
class ABTest:
    """The input of one evaluation: counts, the configuration frozen at the start of the test, and
    earlier decisions.

    `runtime_hours`: since the first assignment, None if unknown. `decided`: the decision, if there
    is one.
    """

    variants: tuple[VariantCounts, ...]
    config: ABTestConfig
    runtime_hours: float | None = None
    srm_hold: SrmHold = SrmHold.NONE
    decided: PriorDecision | None = None
    # The variants that can win, in the given order, and the group that is sent nothing.
    competing: tuple[VariantCounts, ...] = field(init=False, repr=False, compare=False)
    holdout: VariantCounts | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once: an evaluation reads them a dozen times.
        competing = tuple([v for v in self.variants if not v.is_holdout])
        object.__setattr__(self, "competing", competing)
        held_out = [v for v in self.variants if v.is_holdout]
        object.__setattr__(self, "holdout", held_out[0] if held_out else None)

    def tested(self) -> dict[str, CohortCounts]:
        """Return the counts that are tested, by variant."""
        metric = self.config.winner_metric
        return {v.variant_group: decision_counts(v, metric) for v in self.variants}


def decision_counts(variant: VariantCounts, metric: Metric) -> CohortCounts:
    """Return the counts that are tested: the cohort if there is one, otherwise the totals."""
    if variant.cohort is not None:
        return variant.cohort
    if metric.is_score:
        return CohortCounts(
            variant.base,
            score_sum=variant.score_sum,
            score_sum_squares=variant.score_sum_squares,
        )
    return CohortCounts(variant.base, getattr(variant, METRICS[metric].count_field))


_BOUNDED_BY_BASE = (
    ("total_delivered", Reason.DELIVERED_EXCEEDS_SENT),
    ("total_opened", Reason.OPENED_EXCEEDS_SENT),
    ("total_clicked", Reason.CLICKED_EXCEEDS_SENT),
    ("total_replied", Reason.REPLIED_EXCEEDS_SENT),
    ("total_converted", Reason.CONVERTED_EXCEEDS_SENT),
    ("total_unsubscribed", Reason.UNSUBSCRIBED_EXCEEDS_SENT),
    ("total_bounced", Reason.BOUNCED_EXCEEDS_SENT),
    ("total_complained", Reason.COMPLAINED_EXCEEDS_SENT),
)


def find_variant_fault(variant: VariantCounts, metric: Metric) -> Reason | None:
    """Return why the counts of a variant are impossible, or None. The first fault, totals before
    cohort.
    """
    if variant.is_holdout and variant.assigned is None:
        return Reason.HOLDOUT_ASSIGNED_MISSING
    base = variant.base
    if base < 0 or variant.total_sent < 0 or (variant.assigned or 0) < 0:
        return Reason.NEGATIVE_COUNT
    if variant.assigned is not None and variant.total_sent > variant.assigned:
        return Reason.SENT_EXCEEDS_ASSIGNED
    for name, reason in _BOUNDED_BY_BASE:
        count = getattr(variant, name)
        if count > base:
            return reason
        if count < 0:
            return Reason.NEGATIVE_COUNT
    counts = decision_counts(variant, metric)
    if counts.contacts < 0 or counts.successes < 0:
        return Reason.NEGATIVE_COUNT
    if counts.contacts > base:
        return Reason.COHORT_EXCEEDS_TOTAL
    if counts.successes > counts.contacts:
        return Reason.SUCCESSES_EXCEED_COHORT
    if metric.is_score and not variant.is_holdout:
        return _score_fault(counts)
    return None


def _score_fault(counts: CohortCounts) -> Reason | None:
    """Check Σs² ≤ Σs ≤ n and (Σs)² ≤ n·Σs², which hold for scores in [0, 1], with a tolerance for
    the rounding of float sums.
    """
    if counts.score_sum is None or counts.score_sum_squares is None:
        return Reason.SCORE_SUMS_MISSING
    n, s, q = counts.contacts, float(counts.score_sum), float(counts.score_sum_squares)
    slack = 1e-9 * max(1.0, n)
    possible = -slack <= q <= s + slack and s <= n + slack and s * s <= n * q + slack * max(1.0, n)
    return None if possible else Reason.SCORE_SUMS_IMPOSSIBLE


def find_fault(test: ABTest) -> tuple[Reason, str | None] | None:
    """Return why a test cannot be evaluated and the variant concerned, if there is one; None if it
    can be evaluated.
    """
    names = [v.variant_group for v in test.variants]
    if len(set(names)) < len(names):
        return Reason.DUPLICATE_VARIANT, next(n for n in names if names.count(n) > 1)
    for variant in test.variants:
        fault = find_variant_fault(variant, test.config.winner_metric)
        if fault is not None:
            return fault, variant.variant_group
    if len(names) - len(test.competing) > 1:
        return Reason.SEVERAL_HOLDOUTS, None
    if len(test.competing) < 2:
        return Reason.FEWER_THAN_TWO_VARIANTS, None
    return None
