from __future__ import annotations

from dataclasses import replace

import pytest

from drip_pipeline.experiments import evaluate_test
from drip_pipeline.experiments import report_estimates as report_estimates
from drip_pipeline.experiments.intervals import fisher_p
from tests.experiments.tables import a_test_of, counted, opens


def test_a_report_has_intervals_chances_and_adjusted_pairs():
    test = opens((600, 2000), (450, 2000), (440, 2000))
    figures = report_estimates(test, evaluate_test(test))
    for variant in figures.variants:
        assert variant.interval is not None
        assert variant.value_pct is not None
        assert variant.interval[0] < variant.value_pct < variant.interval[1]
    chances = [v.chance_to_be_best for v in figures.variants]
    assert sum(c for c in chances if c is not None) == pytest.approx(1, abs=1e-8)
    by_pair = {p.a + p.b: p for p in figures.pairs}
    raw = evaluate_test(test).pair("a", "c").chi2_p
    assert raw is not None
    assert by_pair["ac"].holm_p == pytest.approx(3 * raw)


def test_fisher_is_reported_for_small_cells():
    test = opens((4, 150), (1, 160))
    (pair,) = report_estimates(test, evaluate_test(test)).pairs
    assert pair.fisher_p == fisher_p(4, 150, 1, 160)


@pytest.mark.parametrize("pairs", [((0, 0), (0, 0)), ((0, 0), (5, 9)), ((3, 9),), ()])
def test_degenerate_tests_have_a_report_too(pairs):
    test = opens(*pairs)
    figures = report_estimates(test, evaluate_test(test))
    assert len(figures.variants) == len(pairs)


def test_impossible_counts_have_no_chances():
    test = opens((11, 10), (5, 10))
    figures = report_estimates(test, evaluate_test(test))
    assert [v.chance_to_be_best for v in figures.variants] == [None, None]


def test_scores_have_intervals_and_chances_from_their_sums():
    a = replace(counted("a", 2000, opened=900), score_sum=270.0, score_sum_squares=81.0)
    b = replace(counted("b", 2000, opened=880), score_sum=264.0, score_sum_squares=79.2)
    test = a_test_of(a, b, winner_metric="engagement_score")
    figures = report_estimates(test, evaluate_test(test))
    first = figures.variants[0]
    assert first.interval is not None
    assert first.interval[0] < 13.5 < first.interval[1]
    assert first.chance_to_be_best == pytest.approx(0.737, abs=0.01)
    assert figures.pairs[0].newcombe is None
    unknown = a_test_of(counted("a", 5), counted("b", 5), winner_metric="engagement_score")
    assert report_estimates(unknown, evaluate_test(unknown)).variants[0].interval is None
