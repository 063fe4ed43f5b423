from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from drip_pipeline.experiments import Reason, State, evaluate_test
from tests.experiments.tables import a_test_of, counted, scored


def test_the_engagement_score_is_evaluated_by_welch():
    verdict = evaluate_test(
        a_test_of(
            scored("a", 3000, 900, 300, 60),
            scored("b", 3000, 700, 250, 40),
            scored("c", 3000, 600, 200, 30),
            winner_metric="engagement_score",
        )
    )
    assert verdict.winner == "a"
    assert verdict.variant("a").rates.engagement_score == Decimal("13.60")
    assert verdict.variant("a").value_pct == pytest.approx(13.6)
    assert len(verdict.pairs) == 3


def test_scores_that_tie_in_decimals_tie():
    verdict = evaluate_test(
        a_test_of(
            replace(scored("a", 1000, 100, 0, 0), score_sum=30.000000000000004),
            scored("b", 2000, 200, 0, 0),
            winner_metric="engagement_score",
        )
    )
    assert verdict.leader is None


@pytest.mark.parametrize(
    ("sums", "reason"),
    [
        ((None, None), Reason.SCORE_SUMS_MISSING),
        ((101.0, 101.0), Reason.SCORE_SUMS_IMPOSSIBLE),
        ((20.0, 30.0), Reason.SCORE_SUMS_IMPOSSIBLE),
        ((50.0, 1.0), Reason.SCORE_SUMS_IMPOSSIBLE),
        ((float("nan"), 1.0), Reason.SCORE_SUMS_IMPOSSIBLE),
    ],
)
def test_sums_that_no_scores_have_are_invalid(sums, reason):
    broken = replace(counted("b", 100), score_sum=sums[0], score_sum_squares=sums[1])
    verdict = evaluate_test(
        a_test_of(scored("a", 100, 30, 5, 5), broken, winner_metric="engagement_score")
    )
    assert (verdict.state, verdict.reason, verdict.subject) == (State.INVALID, reason, "b")


def test_scores_without_variance_have_no_test():
    silent = a_test_of(
        scored("a", 500, 500, 0, 0),
        scored("b", 500, 500, 0, 0),
        winner_metric="engagement_score",
    )
    verdict = evaluate_test(silent)
    assert verdict.p_value is None
    assert verdict.pairs[0].reason is Reason.NO_VARIANCE
    assert verdict.reason is Reason.NO_VARIANCE
