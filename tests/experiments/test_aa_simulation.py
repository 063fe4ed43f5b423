from __future__ import annotations

import numpy as np
import pytest

from benchmarks.aa_simulation import (
    Scenario,
    _paces,
    _winners,
    false_winners,
    holds,
    power,
    scenarios,
)
from drip_pipeline.experiments import evaluate_test
from tests.experiments.tables import opens


@pytest.mark.parametrize("method", ["always_valid", "planned"])
def test_the_simulated_rule_is_the_one_that_evaluates(method):
    rng = np.random.default_rng(12)
    pace, slowest = _paces((1 / 3, 1 / 3, 1 / 3))
    assert slowest == pytest.approx(1 / 3)
    n = rng.integers(80, 3000, size=(300, 1)) + np.zeros((1, 3), dtype=np.int64)
    x = rng.binomial(n, rng.uniform(0.001, 0.3, size=(300, 1)) * rng.uniform(0.5, 1, size=(300, 3)))
    counts = n.astype(float), x.astype(float)
    winners, _ = _winners(False, *counts, counts[1], 3000.0, pace)
    for i in range(300):
        verdict = evaluate_test(
            opens(
                *zip(x[i].tolist(), n[i].tolist(), strict=True),
                decision_method=method,
                planned_sample_size=3000,
                guardrails=[],
            )
        )
        named = [v.is_winner for v in verdict.variants]
        assert winners[method][i].tolist() == named
    assert winners[method].any()


def test_repeated_looks_inflate_false_winners_only_for_the_naive_rule():
    chosen = [
        Scenario("even", (0.2, 0.2), (0.5, 0.5)),
        Scenario("skewed", (0.2, 0.2), (0.9, 0.1)),
        Scenario("tied best", (0.2, 0.2, 0.1), (1 / 3, 1 / 3, 1 / 3)),
    ]
    rows = false_winners(chosen, runs=400, minutes=400)
    for row in rows:
        assert row.naive > 0.2
        assert row.always_valid <= 0.05
        assert row.planned <= 0.085
    assert rows[2].naive > 0.95


def test_a_simulation_is_reproducible_and_scenarios_are_independent():
    first, second = scenarios()[:2]
    together = false_winners([first, second], runs=30, minutes=60)
    assert together == false_winners([first], runs=30, minutes=60) + false_winners(
        [second], runs=30, minutes=60
    )


def test_a_plan_keeps_most_of_the_power_of_one_look():
    found = power((0.2, 0.2438), people_per_minute=8, runs=1500, minutes=360)
    assert found.per_variant == 1440
    assert found.single_look == pytest.approx(0.81, abs=0.04)
    assert found.single_look - found.planned < 0.06
    assert found.always_valid < found.planned


def test_the_benchmark_fails_when_a_rule_names_too_many_winners():
    rows = false_winners([scenarios()[0]], runs=20, minutes=30)
    fair = power(runs=20, minutes=30)
    assert holds(rows, fair, 2000) is (fair.single_look - fair.planned <= 0.03)
    worse = [type(rows[0])(rows[0].scenario, 0.5, 0.051, 0.01)]
    assert not holds(worse, fair, 2000)
