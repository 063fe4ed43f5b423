"""The result of an evaluation: frozen records of statistics, state and reason, to be stored or
shown.

A value that cannot be computed is None with a reason code, never NaN. No arithmetic except the
rounding of the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from drip_pipeline.domain.definition.ab_test import ABTestConfig, Guardrail
from drip_pipeline.experiments.codes import Reason, State
from drip_pipeline.experiments.rates import VariantRates, percent_of_hundredths

ENGINE_VERSION = "1"
"""Changes with every release in which the same counts can give another verdict; each evaluation
records it."""

Interval = tuple[float, float]
_EIGHT_PLACES = Decimal("0.00000001")
ZERO_CONFIDENCE = percent_of_hundredths(0)


def p_value_column(p: float | None) -> Decimal | None:
    """Round a p as the column `p_value` does: 8 places, half up."""
    return None if p is None else Decimal(repr(p)).quantize(_EIGHT_PLACES, ROUND_HALF_UP)


def confidence_pct(p: float | None) -> Decimal:
    """Return 100·(1 − p), unrounded; 0 if there is no p."""
    return Decimal(0) if p is None else 100 * (1 - Decimal(repr(p)))


def confidence_column(confidence: Decimal) -> Decimal:
    """Round a confidence as the column `confidence_level` does: 2 places, down, so that 94.999 is
    never shown as 95.00.
    """
    return percent_of_hundredths(int(confidence * 100))


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One row of `campaign_ab_test_results`. A holdout has rates and no test.

    `sample`: contacts the test is based on; `value_pct`: their winner metric, unrounded (the
    leader is determined on integers).
    """

    variant_group: str
    is_holdout: bool
    sample: int
    value_pct: float | None
    rates: VariantRates
    p_value: Decimal | None = None
    confidence_level: Decimal = ZERO_CONFIDENCE
    is_statistically_significant: bool = False
    is_winner: bool = False

    def columns(self) -> dict[str, Any]:
        """Return the calculated columns of the row by name."""
        return {
            **self.rates._asdict(),
            "p_value": self.p_value,
            "confidence_level": self.confidence_level,
            "is_statistically_significant": self.is_statistically_significant,
            "is_winner": self.is_winner,
        }


@dataclass(frozen=True, slots=True)
class PairResult:
    """Variant a against variant b. `chi2`: χ², or Welch's t² for a score; `chi2_p` its
    fixed-horizon p; `decision_p` the p that decides; `interval`: always-valid, of a − b in
    percentage points. `reason`: why a value is None.
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
    """The check of assigned contacts against the configured split."""

    chi2: float | None
    chi2_p: float | None
    sequential_p: float | None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class GuardrailResult:
    """The leader against a runner-up on one guardrail; rates in percent, p always-valid."""

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

    `partly_unsent`: some contacts assigned to the variant were sent nothing, so the two groups
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
    """The progress towards the requirements: smallest sample, smallest expected cell and runtime,
    each with the required value.
    """

    smallest_sample: int
    needed_sample: int
    min_expected_cell: float | None
    needed_cell: float
    runtime_hours: float | None
    needed_hours: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one evaluation of one test. `subject`: the variant that the reason refers to;
    `p_value` and pairs are unrounded.

    `is_final`: the test was decided before; only the rates are current, and the deciding columns
    must not be overwritten.
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
        """Return the result of one variant by its name."""
        return next(v for v in self.variants if v.variant_group == variant_group)

    def columns(self) -> dict[str, dict[str, Any]]:
        """Return the calculated columns by variant; for a final verdict only the rates, because the
        deciding columns are frozen.
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
        """Return the comparison of two variants in either order."""
        names = {one, other}
        return next(p for p in self.pairs if {p.a, p.b} == names)
