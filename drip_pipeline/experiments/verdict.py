"""What judging gives back: frozen records of the figures, the state and the reason, ready to be
stored or shown.

A figure that cannot be computed is None beside a reason code, never NaN. No arithmetic beyond the
rounding of the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from drip_pipeline.domain.definition.ab_test import ABTestConfig, Guardrail, Metric
from drip_pipeline.experiments.codes import Reason, State
from drip_pipeline.experiments.metrics import percent_of_hundredths

ENGINE_VERSION = "1"
"""Changes whenever the same counts could give another verdict; an evaluation records it."""

Interval = tuple[float, float]
_EIGHT_PLACES = Decimal("0.00000001")
ZERO_CONFIDENCE = percent_of_hundredths(0)


def p_value_column(p: float | None) -> Decimal | None:
    """A p as `p_value` holds it: 8 places, rounded half up."""
    return None if p is None else Decimal(repr(p)).quantize(_EIGHT_PLACES, ROUND_HALF_UP)


def confidence_pct(p: float | None) -> Decimal:
    """100·(1 − p), unrounded; 0 when there is no p."""
    return Decimal(0) if p is None else 100 * (1 - Decimal(repr(p)))


def confidence_column(confidence: Decimal) -> Decimal:
    """A confidence as `confidence_level` holds it: 2 places, rounded down, so that 94.999 never
    reads as 95.00.
    """
    return percent_of_hundredths(int(confidence * 100))


@dataclass(frozen=True, slots=True)
class Rates:
    """The six rates of a variant in percent, two places; None where nobody was sent anything or the
    counts contradict.
    """

    delivery_rate: Decimal | None
    open_rate: Decimal | None
    click_rate: Decimal | None
    reply_rate: Decimal | None
    conversion_rate: Decimal | None
    engagement_score: Decimal | None

    def of(self, metric: Metric) -> Decimal | None:
        """The rate that a metric names."""
        rate: Decimal | None = getattr(self, metric.value)
        return rate


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One row of `campaign_ab_test_results`. A holdout has rates and no test.

    `sample`: contacts the test rests on; `value_pct`: their winner metric, unrounded (what leads is
    decided on integers).
    """

    variant_group: str
    is_holdout: bool
    sample: int
    value_pct: float | None
    rates: Rates
    p_value: Decimal | None = None
    confidence_level: Decimal = ZERO_CONFIDENCE
    is_statistically_significant: bool = False
    is_winner: bool = False

    def columns(self) -> dict[str, Any]:
        """The calculated columns of the row by name."""
        return {
            "delivery_rate": self.rates.delivery_rate,
            "open_rate": self.rates.open_rate,
            "click_rate": self.rates.click_rate,
            "reply_rate": self.rates.reply_rate,
            "conversion_rate": self.rates.conversion_rate,
            "engagement_score": self.rates.engagement_score,
            "p_value": self.p_value,
            "confidence_level": self.confidence_level,
            "is_statistically_significant": self.is_statistically_significant,
            "is_winner": self.is_winner,
        }


@dataclass(frozen=True, slots=True)
class PairResult:
    """Variant a against variant b. `chi2`: χ², or Welch's t² for a score; `chi2_p` its
    fixed-horizon p; `decision_p` the p that decides; `interval`: always-valid, of a − b in
    percentage points. `reason` says why something is None.
    """

    a: str
    b: str
    chi2: float | None
    chi2_p: float | None
    decision_p: float | None
    interval: Interval | None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The check of assigned people against the promised shares."""

    chi2: float | None
    chi2_p: float | None
    sequential_p: float | None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class GuardrailResult:
    """The leader against a runner-up on something that must not get worse; rates in percent, p
    always-valid.
    """

    guardrail: Guardrail
    leader: str
    runner_up: str
    leader_pct: Decimal | None
    runner_up_pct: Decimal | None
    p: float | None
    is_worse: bool


@dataclass(frozen=True, slots=True)
class HoldoutLift:
    """A variant against the holdout. `difference` and its always-valid interval in percentage
    points, `relative` in percent.

    `partly_unsent`: not everybody assigned to the variant was sent something, so the two groups
    differ by more than the message.
    """

    variant_group: str
    difference: float | None
    interval: Interval | None
    relative: float | None
    relative_interval: Interval | None
    chi2_p: float | None
    decision_p: float | None
    reason: Reason | None = None
    partly_unsent: bool = False


@dataclass(frozen=True, slots=True)
class SampleProgress:
    """How far the gates are: smallest sample, smallest expected cell and runtime, each with what is
    needed.
    """

    smallest_sample: int
    needed_sample: int
    min_expected_cell: float | None
    needed_cell: float
    runtime_hours: float | None
    needed_hours: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One evaluation of one test. `subject` names the variant a reason is about; `p_value` and
    pairs are unrounded.

    `is_final`: decided before; only rates are current, and nothing that decided may be overwritten
    with this.
    """

    state: State
    reason: Reason
    subject: str | None
    config: ABTestConfig
    variants: tuple[VariantResult, ...]
    pairs: tuple[PairResult, ...]
    srm: SampleRatio
    p_value: float | None
    p_value_reason: Reason | None
    min_expected_cell: float | None
    leader: str | None
    winner: str | None
    guardrails: tuple[GuardrailResult, ...]
    holdout_lifts: tuple[HoldoutLift, ...]
    progress: SampleProgress
    is_final: bool = False

    def variant(self, variant_group: str) -> VariantResult:
        """The result of one variant by its name."""
        return next(v for v in self.variants if v.variant_group == variant_group)

    def columns(self) -> dict[str, dict[str, Any]]:
        """Calculated columns by variant. Of a final verdict only the rates: what decided is
        frozen.
        """
        frozen = ("p_value", "confidence_level", "is_statistically_significant", "is_winner")
        return {
            v.variant_group: {
                name: value
                for name, value in v.columns().items()
                if not (self.is_final and name in frozen)
            }
            for v in self.variants
        }

    def pair(self, one: str, other: str) -> PairResult:
        """The comparison of two variants, whichever way round it is kept."""
        wanted = {one, other}
        return next(p for p in self.pairs if {p.a, p.b} == wanted)
