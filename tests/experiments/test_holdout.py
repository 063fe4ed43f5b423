from __future__ import annotations

from decimal import Decimal

import pytest

from drip_pipeline.experiments import Reason, evaluate_test
from tests.experiments.tables import a_test_of, counted, scored


def test_a_holdout_never_competes_and_has_a_lift():
    held = counted("none", 0, converted=30, assigned=5000, is_holdout=True)
    verdict = evaluate_test(
        a_test_of(
            counted("a", 5000, converted=90, assigned=5000),
            counted("b", 5000, converted=60, assigned=5010),
            held,
            winner_metric="conversion_rate",
        )
    )
    assert [p.a + p.b for p in verdict.pairs] == ["ab"]
    row = verdict.variant("none")
    assert row.is_holdout
    assert row.rates.conversion_rate == Decimal("0.60")
    assert row.rates.delivery_rate is None
    assert row.p_value is None
    assert not row.is_winner
    lift_a, lift_b = verdict.holdout_lifts
    assert lift_a.difference == pytest.approx(1.2)
    assert lift_a.relative == pytest.approx(200.0)
    assert lift_a.interval is not None
    assert lift_a.relative_interval is not None
    assert lift_a.interval[0] < 1.2 < lift_a.interval[1]
    assert lift_a.relative_interval[0] < 200 < lift_a.relative_interval[1]
    assert not lift_a.partly_unsent
    assert lift_b.partly_unsent


def test_a_holdout_with_the_best_rate_still_does_not_win():
    verdict = evaluate_test(
        a_test_of(
            counted("a", 5000, converted=90),
            counted("b", 5000, converted=30),
            counted("none", 0, converted=900, assigned=5000, is_holdout=True),
            winner_metric="conversion_rate",
        )
    )
    assert verdict.winner == "a"
    assert verdict.holdout_lifts[0].difference == pytest.approx(-16.2)


def test_one_variant_against_a_holdout_has_a_lift():
    verdict = evaluate_test(
        a_test_of(
            counted("a", 5000, converted=90),
            counted("none", 0, converted=0, assigned=5000, is_holdout=True),
            winner_metric="conversion_rate",
        )
    )
    assert verdict.reason is Reason.FEWER_THAN_TWO_VARIANTS
    (lift,) = verdict.holdout_lifts
    assert lift.difference == pytest.approx(1.8)
    assert lift.relative is None
    assert lift.relative_interval is None


def test_a_holdout_has_no_scores_to_compare():
    verdict = evaluate_test(
        a_test_of(
            scored("a", 3000, 900, 300, 60),
            scored("b", 3000, 700, 250, 40),
            counted("none", 0, assigned=500, is_holdout=True),
            winner_metric="engagement_score",
        )
    )
    assert verdict.winner == "a"
    assert {lift.reason for lift in verdict.holdout_lifts} == {Reason.SCORE_SUMS_MISSING}
