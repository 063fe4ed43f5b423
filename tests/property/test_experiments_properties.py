"""Invariants of evaluation: significance, the winner, and changes without effect on a verdict."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.experiments import (
    ABTest,
    Metric,
    PriorDecision,
    State,
    VariantCounts,
    Verdict,
    evaluate_test,
    explain,
    read_test_config,
    what_would_change,
)

SIZES = st.sampled_from([0, 1, 2, 40, 100, 101, 999, 5000, 40_000]) | st.integers(0, 3000)


@st.composite
def variants(draw: st.DrawFn, name: str) -> VariantCounts:
    sent = draw(SIZES)
    rate = draw(st.sampled_from([0.0, 0.005, 0.02, 0.2, 0.21, 0.25, 0.5, 1.0]))
    count = round(rate * sent)

    def near() -> int:
        return min(sent, max(0, count + draw(st.integers(-3, 3))))

    opened, clicked, replied = near(), near(), near()
    return VariantCounts(
        name,
        sent,
        sent,
        opened,
        clicked,
        replied,
        near(),
        draw(st.integers(0, sent // 10)),
        draw(st.integers(0, sent // 10)),
        assigned=sent + draw(st.integers(0, 2)),
        weight=draw(st.sampled_from([None, 1.0])),
        # As if nobody did two things: any sums that scores can have will do.
        score_sum=Decimal("0.1") * opened,
        score_sum_squares=Decimal("0.01") * opened,
    )


@st.composite
def ab_tests(draw: st.DrawFn) -> ABTest:
    names = ["a", "b", "c", "d", "e"][: draw(st.integers(2, 5))]
    keys: dict[str, Any] = {
        "winner_metric": draw(st.sampled_from(list(Metric))),
        "confidence_threshold": draw(st.sampled_from([60.0, 90.0, 95.0, 99.9])),
        "minimum_sample_size": draw(st.sampled_from([1, 30, 100])),
        "min_expected_cell": draw(st.sampled_from([0.0, 5.0])),
        "decision_method": draw(st.sampled_from(["always_valid", "planned", "fixed_horizon"])),
        "planned_sample_size": draw(st.sampled_from([50, 1000, 5000])),
        "auto_select_winner": draw(st.booleans()),
        "minimum_lift": draw(st.sampled_from([0.0, 0.0, 1.0])),
        "equivalence_margin": draw(st.sampled_from([None, 2.0])),
        "max_duration_hours": draw(st.sampled_from([None, 10.0])),
    }
    listed = tuple(draw(variants(name)) for name in names)
    runtime = draw(st.sampled_from([None, 5.0, 11.0]))
    return ABTest(listed, read_test_config(keys), runtime_hours=runtime)


def numerator(variant: VariantCounts, metric: Metric) -> int:
    """Return the winner metric of a variant times its contacts."""
    return {
        Metric.OPEN_RATE: variant.total_opened,
        Metric.CLICK_RATE: variant.total_clicked,
        Metric.REPLY_RATE: variant.total_replied,
        Metric.CONVERSION_RATE: variant.total_converted,
        Metric.ENGAGEMENT_SCORE: variant.total_opened,
    }[metric]


@settings(max_examples=150)
@given(ab_tests())
def test_significant_means_both_columns_agree(test):
    config = test.config
    for variant in evaluate_test(test).variants:
        if variant.is_statistically_significant:
            assert variant.p_value is not None
            assert variant.p_value < config.exact_alpha
            assert variant.confidence_level >= Decimal(repr(config.confidence_threshold))


@settings(max_examples=150)
@given(ab_tests())
def test_the_deciding_p_is_never_below_the_pairs_single_look_p(test):
    for pair in evaluate_test(test).pairs:
        if pair.decision_p is not None:
            assert pair.chi2_p is not None
            assert pair.chi2_p <= pair.decision_p <= 1


@settings(max_examples=150)
@given(ab_tests())
def test_a_winner_is_the_one_significant_leader(test):
    verdict = evaluate_test(test)
    winners = [v for v in verdict.variants if v.is_winner]
    assert len(winners) <= 1
    assert bool(winners) == (verdict.state is State.DECIDED_WINNER)
    for winner in winners:
        assert winner.variant_group == verdict.leader == verdict.winner
        assert winner.is_statistically_significant
        rates = {
            v.variant_group: Fraction(numerator(v, test.config.winner_metric), v.total_sent)
            for v in test.variants
        }
        best = rates.pop(winner.variant_group)
        assert all(best > other for other in rates.values())


@settings(max_examples=150)
@given(ab_tests())
def test_the_interval_of_a_winners_lead_excludes_the_other_direction(test):
    verdict = evaluate_test(test)
    for pair in verdict.pairs:
        if verdict.winner in (pair.a, pair.b):
            assert pair.interval is not None
            low, high = pair.interval
            lower = low if pair.a == verdict.winner else -high
            assert lower >= test.config.minimum_lift * (test.config.minimum_lift > 0)


def by_name(verdict: Verdict) -> dict[str, Any]:
    return {v.variant_group: v for v in verdict.variants}


@settings(max_examples=120)
@given(ab_tests(), st.randoms(use_true_random=False))
def test_the_order_of_variants_does_not_matter(test, random):
    shuffled = list(test.variants)
    random.shuffle(shuffled)
    one, other = evaluate_test(test), evaluate_test(replace(test, variants=tuple(shuffled)))
    assert (one.state, one.reason, one.leader, one.winner) == (
        other.state,
        other.reason,
        other.leader,
        other.winner,
    )
    for name, variant in by_name(one).items():
        twin = by_name(other)[name]
        assert twin.rates == variant.rates
        assert twin.is_statistically_significant == variant.is_statistically_significant
        assert abs(twin.confidence_level - variant.confidence_level) <= Decimal("0.01")
    for pair in one.pairs:
        twin = other.pair(pair.a, pair.b)
        assert twin.reason == pair.reason
        if pair.decision_p is not None:
            assert twin.decision_p == pytest.approx(pair.decision_p, rel=1e-9, abs=1e-300)
        if pair.interval is not None and twin.interval is not None:
            low, high = twin.interval
            turned = (low, high) if twin.a == pair.a else (-high, -low)
            assert turned == pytest.approx(pair.interval, rel=1e-9, abs=1e-9)


@settings(max_examples=100)
@given(ab_tests())
def test_evaluating_again_changes_nothing(test):
    assert evaluate_test(test) == evaluate_test(test)


@settings(max_examples=100)
@given(ab_tests(), st.data())
def test_a_decision_never_reverts_whatever_is_counted_later(test, data):
    verdict = evaluate_test(test)
    if not verdict.state.is_terminal:
        return
    prior = PriorDecision(verdict.state, verdict.reason, verdict.winner)
    later = tuple(data.draw(variants(v.variant_group)) for v in test.variants)
    again = evaluate_test(replace(test, variants=later, decided=prior))
    assert (again.state, again.reason, again.winner) == (
        verdict.state,
        verdict.reason,
        verdict.winner,
    )
    frozen = {"p_value", "confidence_level", "is_statistically_significant", "is_winner"}
    for columns in again.columns().values():
        assert not frozen & set(columns)


@settings(max_examples=120)
@given(ab_tests())
def test_every_verdict_can_be_explained_and_has_no_nan(test):
    verdict = evaluate_test(test)
    assert explain(verdict).endswith(".")
    assert what_would_change(verdict).endswith(".")
    assert "nan" not in repr(verdict).lower().replace("nan=", "")
