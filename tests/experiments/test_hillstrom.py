"""The published results of K. Hillstrom's email test of 2008, from the counts alone."""

from __future__ import annotations

from decimal import Decimal

import pytest
from scipy import stats

from drip_pipeline.experiments import Reason, State, evaluate_test
from drip_pipeline.experiments import report_estimates as report_estimates
from tests.experiments.tables import a_test_of, counted


def hillstrom(**config):
    return a_test_of(
        counted("mens", 21307, clicked=3894, converted=267, assigned=21307),
        counted("womens", 21387, clicked=3238, converted=189, assigned=21387),
        counted("none", 0, clicked=2262, converted=122, assigned=21306, is_holdout=True),
        **{"winner_metric": "conversion_rate", **config},
    )


def test_the_published_rates_and_p_are_found():
    verdict = evaluate_test(hillstrom())
    rates = {v.variant_group: v.rates.conversion_rate for v in verdict.variants}
    assert rates == {"mens": Decimal("1.25"), "womens": Decimal("0.88"), "none": Decimal("0.57")}
    assert verdict.variant("mens").p_value == Decimal("0.00020515")
    table = [[267, 21307 - 267], [189, 21387 - 189]]
    expected = stats.chi2_contingency(table, correction=False)
    assert verdict.p_value == pytest.approx(expected.pvalue, rel=1e-10)


@pytest.mark.parametrize(
    ("method", "confidence"),
    [("always_valid", "98.61"), ("planned", "99.95"), ("fixed_horizon", "99.97")],
)
def test_the_mens_mail_wins_by_each_method(method, confidence):
    verdict = evaluate_test(hillstrom(decision_method=method, planned_sample_size=21_000))
    assert (verdict.state, verdict.reason) == (State.DECIDED_WINNER, Reason.LEADER_BEATS_ALL)
    assert verdict.winner == "mens"
    assert verdict.variant("mens").confidence_level == Decimal(confidence)


def test_the_lift_over_the_holdout_has_an_interval_above_zero():
    verdict = evaluate_test(hillstrom())
    mens, womens = verdict.holdout_lifts
    assert mens.difference == pytest.approx(100 * (267 / 21307 - 122 / 21306))
    assert mens.relative == pytest.approx(118.8, abs=0.05)
    assert mens.interval is not None
    assert mens.interval == pytest.approx((0.372, 0.989), abs=5e-4)
    assert womens.relative == pytest.approx(54.3, abs=0.05)
    assert womens.interval is not None
    assert womens.interval[0] > 0


def test_the_report_estimates_agree():
    test = hillstrom()
    figures = report_estimates(test, evaluate_test(test))
    chances = {v.variant_group: v.chance_to_be_best for v in figures.variants}
    assert chances["mens"] == pytest.approx(0.9999, abs=1e-4)
    assert chances["none"] is None
    (pair,) = figures.pairs
    assert pair.newcombe is not None
    assert pair.newcombe[0] > 0.17
    assert pair.holm_p == pytest.approx(0.00020515, abs=1e-8)
    assert pair.fisher_p is None
