"""Building one verdict: the result columns, the requirements that are met, whether the leader beats
all others, and the state.

Scalar rules on statistics that were computed elsewhere; the order of the states is in `states.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from drip_pipeline.domain.definition.ab_test import Metric
from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.comparisons import VariantComparison
from drip_pipeline.experiments.counts import (
    ABTest,
    CohortCounts,
    PriorDecision,
    SrmHold,
    VariantCounts,
)
from drip_pipeline.experiments.metrics import GUARDRAILS
from drip_pipeline.experiments.ranking import Ranking
from drip_pipeline.experiments.rates import variant_rates
from drip_pipeline.experiments.requirements import (
    find_shortfall,
    is_before_horizon,
    is_exhausted,
    measure_progress,
)
from drip_pipeline.experiments.states import StateInputs, next_state
from drip_pipeline.experiments.verdict import (
    ZERO_CONFIDENCE,
    GuardrailResult,
    HoldoutLift,
    PairResult,
    SampleProgress,
    SampleRatio,
    VariantResult,
    Verdict,
    confidence_column,
    confidence_pct,
    p_value_column,
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The statistics of one running test."""

    test: ABTest
    tested: Mapping[str, CohortCounts]
    fault: tuple[Reason, str | None] | None
    comparison: VariantComparison
    ranking: Ranking
    guardrails: tuple[GuardrailResult, ...]
    srm: SampleRatio
    holdout_lifts: tuple[HoldoutLift, ...]


def build_verdict(evidence: Evidence) -> Verdict:
    """Build the verdict on one running test."""
    test, comparison, tested = evidence.test, evidence.comparison, evidence.tested
    progress = measure_progress(test, comparison, tested)
    shortfall = find_shortfall(test, comparison, progress)
    leader = None
    if evidence.ranking.leader is not None:
        leader = test.competing[evidence.ranking.leader].variant_group
    confidence = _confidences(test, comparison, leader)
    significant = _significant(test, comparison, progress, confidence)
    lead_is_significant = leader is not None and significant[leader]
    beats_all = lead_is_significant and _lead_exceeds_minimum(test, comparison.pairs, leader)
    too_early = is_before_horizon(test, comparison)
    worse = [g for g in evidence.guardrails if g.is_worse]
    state, reason = next_state(
        StateInputs(
            fault=evidence.fault[0] if evidence.fault else None,
            srm_blocks=_srm_blocks(test, evidence.srm),
            shortfall=shortfall,
            leader_beats_all=beats_all,
            guardrail=GUARDRAILS[worse[0].guardrail].worse if worse else None,
            auto_select_winner=test.config.auto_select_winner,
            equivalent=not too_early and _equivalent(test, comparison.pairs),
            exhausted=is_exhausted(test, comparison),
            waiting_for=(
                Reason.BEFORE_HORIZON
                if too_early
                else _waiting_for(comparison, leader, lead_is_significant)
            ),
        )
    )
    winner = leader if reason is Reason.LEADER_BEATS_ALL else None
    p_column = p_value_column(comparison.p_value)
    metric = test.config.winner_metric
    variants = tuple(
        _result(v, tested[v.variant_group], metric)
        if v.is_holdout or evidence.fault
        else _result(
            v,
            tested[v.variant_group],
            metric,
            p_column,
            confidence_column(confidence[v.variant_group]),
            significant[v.variant_group],
            v.variant_group == winner,
        )
        for v in test.variants
    )
    return Verdict(
        state=state,
        reason=reason,
        subject=evidence.fault[1] if evidence.fault else None,
        config=test.config,
        variants=variants,
        pairs=comparison.pairs,
        srm=evidence.srm,
        p_value=comparison.p_value,
        p_value_reason=comparison.p_value_reason,
        min_expected_cell=comparison.min_expected_cell,
        leader=leader,
        winner=winner,
        guardrails=evidence.guardrails,
        holdout_lifts=evidence.holdout_lifts,
        progress=progress,
    )


def final_verdict(test: ABTest, decided: PriorDecision) -> Verdict:
    """Return the verdict on a decided test: its decision and the current rates."""
    state, reason = next_state(StateInputs(decided=decided))
    tested = test.tested()
    metric = test.config.winner_metric
    return Verdict(
        state=state,
        reason=reason,
        subject=None,
        config=test.config,
        variants=tuple(
            _result(v, tested[v.variant_group], metric, is_winner=v.variant_group == decided.winner)
            for v in test.variants
        ),
        pairs=(),
        srm=SampleRatio(None, None, None),
        p_value=None,
        p_value_reason=None,
        min_expected_cell=None,
        leader=None,
        winner=decided.winner,
        guardrails=(),
        holdout_lifts=(),
        progress=measure_progress(test, None, tested),
        is_final=True,
    )


def _result(
    variant: VariantCounts,
    counts: CohortCounts,
    metric: Metric,
    p_value: Decimal | None = None,
    confidence_level: Decimal = ZERO_CONFIDENCE,
    is_significant: bool = False,
    is_winner: bool = False,
) -> VariantResult:
    total = counts.score_sum if metric.is_score else counts.successes
    value = None
    if total is not None and 0 <= total <= counts.contacts and counts.contacts > 0:
        value = 100 * float(total) / counts.contacts
    return VariantResult(
        variant.variant_group,
        variant.is_holdout,
        counts.contacts,
        value,
        variant_rates(variant),
        p_value,
        confidence_level,
        is_significant,
        is_winner,
    )


def _confidences(
    test: ABTest, comparison: VariantComparison, leader: str | None
) -> dict[str, Decimal]:
    """Return the unrounded confidence by variant: for a follower, that the leader beats it; for the
    leader, the smallest of these.

    0 for all variants if the lead is shared or the test over all variants is degenerate.
    """
    confidence = {v.variant_group: Decimal(0) for v in test.competing}
    if leader is None or comparison.p_value is None:
        return confidence
    followers = []
    for pair in comparison.pairs:
        if leader in (pair.a, pair.b):
            follower = pair.b if pair.a == leader else pair.a
            confidence[follower] = confidence_pct(pair.decision_p)
            followers.append(confidence[follower])
    confidence[leader] = min(followers)
    return confidence


def _significant(
    test: ABTest,
    comparison: VariantComparison,
    progress: SampleProgress,
    confidence: dict[str, Decimal],
) -> dict[str, bool]:
    """Return by variant whether its confidence reaches the threshold, the size requirements are
    met, and the fixed-horizon p, rounded as in its column, is below α.
    """
    config = test.config
    p_column = p_value_column(comparison.p_value)
    possible = (
        p_column is not None
        and p_column < config.exact_alpha
        and progress.smallest_sample >= progress.needed_sample
        and (progress.min_expected_cell or 0.0) >= progress.needed_cell
    )
    threshold = 100 * (1 - config.exact_alpha)
    return {name: possible and value >= threshold for name, value in confidence.items()}


def _lead_exceeds_minimum(test: ABTest, pairs: tuple[PairResult, ...], leader: str | None) -> bool:
    """Return True if the lower bound of every lead of the leader exceeds minimum_lift. With 0 the
    significance test has shown it already.
    """
    least = test.config.minimum_lift
    if least == 0:
        return True
    for pair in pairs:
        if pair.interval is None:
            return False
        if pair.a == leader and not pair.interval[0] > least:
            return False
        if pair.b == leader and not -pair.interval[1] > least:
            return False
    return True


def _srm_blocks(test: ABTest, srm: SampleRatio) -> bool:
    """Return True if the sample ratio blocks the test. A block stays until an operator clears it,
    even if later assignments restore the expected split.
    """
    if test.srm_hold is not SrmHold.NONE:
        return test.srm_hold is SrmHold.BLOCKED
    return srm.sequential_p is not None and srm.sequential_p < test.config.srm_alpha


def _equivalent(test: ABTest, pairs: tuple[PairResult, ...]) -> bool:
    margin = test.config.equivalence_margin
    if margin is None or not pairs:
        return False
    return all(
        p.interval is not None and -margin < p.interval[0] and p.interval[1] < margin for p in pairs
    )


def _waiting_for(
    comparison: VariantComparison, leader: str | None, lead_is_significant: bool
) -> Reason:
    """Return why a test that meets the requirements still collects."""
    if comparison.p_value_reason is not None:
        return comparison.p_value_reason
    if leader is None:
        return Reason.LEADERS_TIED
    return Reason.LIFT_TOO_SMALL if lead_is_significant else Reason.NOT_SIGNIFICANT
