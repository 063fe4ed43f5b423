from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from drip_pipeline.experiments import (
    CohortCounts,
    PriorDecision,
    Reason,
    SrmHold,
    State,
    evaluate_test,
)
from drip_pipeline.experiments.chi_square import chi_square_p, table_chi_square
from drip_pipeline.experiments.sequential import always_valid_p, mixture_variance, planned_p
from tests.experiments.tables import a_test_of, counted, opens


def columns(verdict, name):
    return verdict.columns()[name]


def test_a_clear_lead_is_decided_with_the_documented_columns():
    verdict = evaluate_test(opens((600, 2000), (450, 2000)))
    assert (verdict.state, verdict.reason) == (State.DECIDED_WINNER, Reason.LEADER_BEATS_ALL)
    assert verdict.winner == verdict.leader == "a"
    chi2 = float(table_chi_square([600, 450], [2000, 2000]))
    p_av = float(always_valid_p(chi2, mixture_variance(0.05, 100) * 4000))
    expected_confidence = Decimal(int((1 - p_av) * 10_000)).scaleb(-2)
    for name in "ab":
        row = columns(verdict, name)
        assert row["p_value"] == Decimal(f"{float(chi_square_p(chi2, 1)):.8f}")
        assert row["confidence_level"] == expected_confidence
        assert row["is_statistically_significant"] is True
    assert columns(verdict, "a")["is_winner"] is True
    assert columns(verdict, "b")["is_winner"] is False
    assert verdict.pair("a", "b").decision_p == pytest.approx(p_av, rel=1e-12)


def test_confidence_of_a_follower_is_its_own_and_of_the_leader_the_least():
    verdict = evaluate_test(opens((700, 2000), (640, 2000), (300, 2000)))
    confidence = {v.variant_group: v.confidence_level for v in verdict.variants}
    assert confidence["a"] == confidence["b"] < confidence["c"]
    significant = {v.variant_group: v.is_statistically_significant for v in verdict.variants}
    assert significant == {"a": False, "b": False, "c": True}
    assert verdict.state is State.COLLECTING
    assert verdict.reason is Reason.NOT_SIGNIFICANT


def test_confidence_is_rounded_down():
    verdict = evaluate_test(opens((10_000, 20_000), (1, 20_000)))
    assert verdict.variant("a").confidence_level == Decimal("100.00")
    nearly = evaluate_test(opens((545, 2000), (450, 2000)))
    p = nearly.pair("a", "b").decision_p
    assert p is not None
    assert nearly.variant("a").confidence_level <= 100 * (1 - Decimal(repr(p)))
    assert nearly.variant("a").confidence_level > 100 * (1 - Decimal(repr(p))) - Decimal("0.01")


def test_two_tied_best_have_no_leader_and_no_confidence():
    verdict = evaluate_test(opens((400, 1000), (800, 2000), (100, 1000)))
    assert verdict.leader is None
    assert (verdict.state, verdict.reason) == (State.COLLECTING, Reason.LEADERS_TIED)
    assert {v.confidence_level for v in verdict.variants} == {Decimal("0.00")}
    assert verdict.p_value is not None
    assert verdict.p_value < 1e-9


def test_the_leader_is_found_by_fractions_not_by_the_rounded_column():
    verdict = evaluate_test(opens((33_333, 99_998), (33_334, 100_000)))
    assert verdict.variant("a").rates.open_rate == verdict.variant("b").rates.open_rate
    assert verdict.leader == "b"


@pytest.mark.parametrize(
    ("pairs", "reason", "pair_reason"),
    [
        (((0, 0), (0, 0)), Reason.EMPTY_VARIANT, Reason.EMPTY_VARIANT),
        (((0, 0), (300, 1000)), Reason.EMPTY_VARIANT, Reason.EMPTY_VARIANT),
        (((0, 1000), (0, 1000)), Reason.NO_EVENTS, Reason.NO_EVENTS),
        (((1000, 1000), (900, 900)), Reason.ALL_EVENTS, Reason.ALL_EVENTS),
        (((1, 1), (0, 1)), Reason.SAMPLE_TOO_SMALL, None),
        (((3, 99), (60, 99)), Reason.SAMPLE_TOO_SMALL, None),
        (((4, 1000), (1, 1000)), Reason.EXPECTED_CELL_TOO_SMALL, None),
    ],
)
def test_degenerate_tables_collect_with_a_reason(pairs, reason, pair_reason):
    verdict = evaluate_test(opens(*pairs))
    assert (verdict.state, verdict.reason) == (State.COLLECTING, reason)
    assert verdict.pairs[0].reason is pair_reason
    assert (verdict.pairs[0].chi2_p is None) is (pair_reason is not None)
    for variant in verdict.variants:
        assert not variant.is_statistically_significant
        assert not variant.is_winner
        if pair_reason is not None:
            assert variant.p_value is None
            assert variant.confidence_level == 0


def test_an_empty_variant_beside_two_full_ones_has_no_test_over_all():
    verdict = evaluate_test(opens((0, 0), (700, 1000), (300, 1000)))
    assert verdict.p_value is None
    assert verdict.p_value_reason is Reason.EMPTY_VARIANT
    assert verdict.pair("b", "c").chi2_p is not None
    assert verdict.variant("b").confidence_level == 0
    assert verdict.variant("a").rates.open_rate is None


def test_one_variant_cannot_be_evaluated_but_its_rates_are_shown():
    verdict = evaluate_test(opens((30, 120)))
    assert (verdict.state, verdict.reason) == (State.INVALID, Reason.FEWER_THAN_TWO_VARIANTS)
    assert verdict.variant("a").rates.open_rate == Decimal("25.00")
    assert evaluate_test(opens()).reason is Reason.FEWER_THAN_TWO_VARIANTS


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("total_delivered", Reason.DELIVERED_EXCEEDS_SENT),
        ("total_opened", Reason.OPENED_EXCEEDS_SENT),
        ("total_clicked", Reason.CLICKED_EXCEEDS_SENT),
        ("total_replied", Reason.REPLIED_EXCEEDS_SENT),
        ("total_converted", Reason.CONVERTED_EXCEEDS_SENT),
        ("total_unsubscribed", Reason.UNSUBSCRIBED_EXCEEDS_SENT),
        ("total_bounced", Reason.BOUNCED_EXCEEDS_SENT),
        ("total_complained", Reason.COMPLAINED_EXCEEDS_SENT),
    ],
)
def test_a_count_over_the_sent_is_invalid_and_never_a_rate_over_100(field, reason):
    test = opens((600, 2000), (450, 2000))
    more: dict[str, Any] = {field: 2001}
    broken = replace(test.variants[1], **more)
    verdict = evaluate_test(replace(test, variants=(test.variants[0], broken)))
    assert (verdict.state, verdict.reason, verdict.subject) == (State.INVALID, reason, "b")
    assert verdict.pairs == ()
    for variant in verdict.variants:
        for name, value in variant.columns().items():
            if name.endswith(("_rate", "_score")):
                assert value is None or value <= 100


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"total_opened": -1}, Reason.NEGATIVE_COUNT),
        ({"assigned": 1999}, Reason.SENT_EXCEEDS_ASSIGNED),
        ({"cohort": CohortCounts(2001, 5)}, Reason.COHORT_EXCEEDS_TOTAL),
        ({"cohort": CohortCounts(100, 101)}, Reason.SUCCESSES_EXCEED_COHORT),
        ({"is_holdout": True}, Reason.HOLDOUT_ASSIGNED_MISSING),
        ({"variant_group": "a"}, Reason.DUPLICATE_VARIANT),
    ],
)
def test_every_other_contradiction_has_a_reason_code(change, reason):
    test = opens((600, 2000), (450, 2000))
    broken = replace(test.variants[1], **change)
    verdict = evaluate_test(replace(test, variants=(test.variants[0], broken)))
    assert (verdict.state, verdict.reason) == (State.INVALID, reason)


def test_negative_counts_are_invalid_and_do_not_raise():
    verdict = evaluate_test(
        a_test_of(
            counted("a", 10, assigned=-5, weight=50.0), counted("b", 10, assigned=20, weight=50.0)
        )
    )
    assert verdict.reason is Reason.NEGATIVE_COUNT
    assert verdict.srm.sequential_p is None


def test_the_cohort_decides_and_the_totals_are_shown():
    fast = replace(counted("a", 2000, opened=700), cohort=CohortCounts(1000, 200))
    slow = replace(counted("b", 2000, opened=500), cohort=CohortCounts(1000, 300))
    verdict = evaluate_test(a_test_of(fast, slow))
    assert verdict.winner == "b"
    assert verdict.variant("a").rates.open_rate == Decimal("35.00")
    assert verdict.variant("a").value_pct == 20.0
    assert verdict.variant("a").sample == 1000


def test_every_metric_is_evaluated_on_its_own_count():
    totals = {
        "open_rate": "opened",
        "click_rate": "clicked",
        "reply_rate": "replied",
        "conversion_rate": "converted",
    }
    for metric, field in totals.items():
        verdict = evaluate_test(
            a_test_of(
                counted("a", 2000, **{field: 450}),
                counted("b", 2000, **{field: 600}),
                winner_metric=metric,
            )
        )
        assert verdict.winner == "b", metric


def test_runtime_must_be_known_and_reached():
    rule = {"minimum_runtime_hours": 24.0}
    pairs = ((600, 2000), (450, 2000))
    assert evaluate_test(opens(*pairs, **rule)).reason is Reason.RUNTIME_UNKNOWN
    assert (
        evaluate_test(opens(*pairs, runtime_hours=23.9, **rule)).reason is Reason.RUNTIME_TOO_SHORT
    )
    assert evaluate_test(opens(*pairs, runtime_hours=24.0, **rule)).state is State.DECIDED_WINNER


def test_a_winner_needs_confirmation_when_automatic_selection_is_off():
    verdict = evaluate_test(opens((600, 2000), (450, 2000), auto_select_winner=False))
    assert (verdict.state, verdict.reason) == (State.SIGNIFICANT, Reason.AWAITING_PERSON)
    assert verdict.winner is None
    assert verdict.variant("a").is_statistically_significant
    assert not verdict.variant("a").is_winner


def test_a_leader_with_more_unsubscribes_is_blocked():
    leader = counted("a", 2000, opened=600, unsubscribed=80)
    other = counted("b", 2000, opened=450, unsubscribed=20)
    verdict = evaluate_test(a_test_of(leader, other))
    assert (verdict.state, verdict.reason) == (State.GUARDRAIL_BLOCKED, Reason.UNSUBSCRIBES_WORSE)
    assert verdict.winner is None
    assert evaluate_test(a_test_of(leader, other, guardrails=["bounces"])).winner == "a"
    better = evaluate_test(a_test_of(replace(leader, total_unsubscribed=1), other))
    assert better.winner == "a"


def test_a_guardrail_is_checked_against_each_tied_runner_up():
    verdict = evaluate_test(
        a_test_of(
            counted("a", 2000, opened=700, bounced=100),
            counted("b", 2000, opened=450, bounced=95),
            counted("c", 2000, opened=450, bounced=10),
        )
    )
    assert (verdict.state, verdict.reason) == (State.GUARDRAIL_BLOCKED, Reason.BOUNCES_WORSE)


def test_a_sample_ratio_mismatch_blocks_until_an_operator_clears_it():
    skewed = a_test_of(
        counted("a", 2000, opened=600, assigned=2400, weight=50.0),
        counted("b", 2000, opened=450, assigned=2000, weight=50.0),
    )
    verdict = evaluate_test(skewed)
    assert (verdict.state, verdict.reason) == (State.SRM_BLOCKED, Reason.SAMPLE_RATIO_MISMATCH)
    assert evaluate_test(replace(skewed, srm_hold=SrmHold.CLEARED)).winner == "a"
    fair = opens((600, 2000), (450, 2000), srm_hold=SrmHold.BLOCKED)
    assert evaluate_test(fair).state is State.SRM_BLOCKED


def test_the_lower_bound_of_a_lead_must_exceed_the_minimum_lift():
    pairs = ((600, 2000), (450, 2000))
    low = evaluate_test(opens(*pairs)).pairs[0].interval
    assert low is not None
    assert 0 < low[0] < 7.5
    assert evaluate_test(opens(*pairs, minimum_lift=low[0] - 0.01)).winner == "a"
    held = evaluate_test(opens(*pairs, minimum_lift=low[0] + 0.01))
    assert (held.state, held.reason) == (State.COLLECTING, Reason.LIFT_TOO_SMALL)
    turned = evaluate_test(opens(*pairs[::-1], minimum_lift=low[0] + 0.01))
    assert turned.reason is Reason.LIFT_TOO_SMALL


def test_variants_with_all_differences_inside_the_margin_are_equivalent():
    pairs = ((30_010, 100_000), (30_000, 100_000))
    verdict = evaluate_test(opens(*pairs, equivalence_margin=1.0))
    assert (verdict.state, verdict.reason) == (State.DECIDED_NO_WINNER, Reason.EQUIVALENT)
    assert evaluate_test(opens(*pairs, equivalence_margin=0.5)).state is State.COLLECTING
    assert not any(v.is_winner for v in verdict.variants)


def test_the_maximum_duration_ends_a_test_without_a_winner():
    pairs = ((460, 2000), (450, 2000))
    verdict = evaluate_test(opens(*pairs, max_duration_hours=48.0, runtime_hours=48.0))
    assert (verdict.state, verdict.reason) == (State.DECIDED_NO_WINNER, Reason.INCONCLUSIVE)
    going = evaluate_test(opens(*pairs, max_duration_hours=48.0, runtime_hours=47.0))
    assert going.state is State.COLLECTING


def test_a_fixed_horizon_has_no_decision_p_before_its_only_look():
    plan = {"decision_method": "fixed_horizon", "planned_sample_size": 2000}
    before = evaluate_test(opens((900, 1999), (450, 2000), **plan))
    assert (before.state, before.reason) == (State.COLLECTING, Reason.BEFORE_HORIZON)
    assert before.pairs[0].decision_p is None
    assert before.pairs[0].reason is Reason.BEFORE_HORIZON
    assert before.variant("a").confidence_level == 0
    assert not before.variant("a").is_statistically_significant
    late = {"max_duration_hours": 9.0, "runtime_hours": 9.0}
    assert (
        evaluate_test(opens((900, 1999), (450, 2000), **plan, **late)).reason is Reason.INCONCLUSIVE
    )
    alike = opens((6000, 20_000), (6000, 20_000), **plan | {"planned_sample_size": 30_000})
    wide = replace(alike, config=alike.config.model_copy(update={"equivalence_margin": 20.0}))
    assert evaluate_test(wide).reason is Reason.BEFORE_HORIZON
    at = evaluate_test(opens((505, 2000), (450, 2000), **plan))
    assert at.winner == "a"
    assert at.pairs[0].decision_p == at.pairs[0].chi2_p
    nothing = evaluate_test(opens((460, 2000), (450, 2000), **plan))
    assert (nothing.state, nothing.reason) == (State.DECIDED_NO_WINNER, Reason.INCONCLUSIVE)


def test_a_plan_can_decide_early_and_otherwise_ends_inconclusive():
    plan = {"decision_method": "planned", "planned_sample_size": 2000}
    verdict = evaluate_test(opens((300, 1000), (220, 1000), **plan))
    assert verdict.winner == "a"
    chi2 = verdict.pairs[0].chi2
    assert chi2 is not None
    assert verdict.pairs[0].decision_p == pytest.approx(float(planned_p(chi2, 0.5)), rel=1e-12)
    assert evaluate_test(opens((230, 1000), (220, 1000), **plan)).state is State.COLLECTING
    over = evaluate_test(opens((460, 2000), (450, 2000), **plan))
    assert (over.state, over.reason) == (State.DECIDED_NO_WINNER, Reason.INCONCLUSIVE)


def test_uneven_shares_put_all_pairs_of_a_plan_on_the_slowest_clock():
    plan = {"decision_method": "planned", "planned_sample_size": 1000}
    people = {"a": 6000, "b": 3000, "c": 1000}
    test = a_test_of(
        *(
            counted(name, n, opened=n // 3, weight=float(n), assigned=n)
            for name, n in people.items()
        ),
        **plan,
    )
    slowest = 4 * 3000 * 1000 / 4000 / 2000
    verdict = evaluate_test(test)
    for pair in verdict.pairs:
        assert pair.chi2 is not None
        expected = float(planned_p(pair.chi2, slowest))
        assert pair.decision_p == pytest.approx(expected, rel=1e-9)
    of_unknown = evaluate_test(
        replace(test, variants=tuple(replace(v, weight=None) for v in test.variants))
    )
    for one, other, t in (
        ("a", "b", 1.0),
        ("a", "c", 4 * 6000 * 1000 / 7000 / 2000),
        ("b", "c", slowest),
    ):
        found = of_unknown.pair(one, other)
        assert found.chi2 is not None
        assert found.decision_p == pytest.approx(float(planned_p(found.chi2, t)), rel=1e-9)


def test_a_decided_test_stays_decided_and_shows_current_rates_only():
    prior = PriorDecision(State.DECIDED_WINNER, Reason.LEADER_BEATS_ALL, "b")
    verdict = evaluate_test(opens((900, 2000), (450, 2000), decided=prior))
    assert (verdict.state, verdict.reason, verdict.winner) == (prior.state, prior.reason, "b")
    assert verdict.is_final
    assert verdict.variant("b").is_winner
    assert set(columns(verdict, "a")) == {
        "delivery_rate",
        "open_rate",
        "click_rate",
        "reply_rate",
        "conversion_rate",
        "engagement_score",
    }
    assert columns(verdict, "a")["open_rate"] == Decimal("45.00")


def test_significance_needs_the_fixed_horizon_test_over_all_variants_too():
    crowd = [(1000, 10_000)] * 30
    verdict = evaluate_test(
        a_test_of(
            *(counted(f"v{i}", n, opened=x) for i, (x, n) in enumerate([(1112, 10_000), *crowd])),
            confidence_threshold=50.0,
        )
    )
    leader = verdict.variant("v0")
    assert leader.confidence_level >= 50
    assert verdict.p_value is not None
    assert verdict.p_value > 0.5
    assert not leader.is_statistically_significant
    assert verdict.state is State.COLLECTING
