from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

from drip_pipeline.experiments import (
    DecisionMethod,
    State,
    evaluate_test,
    sample_size_per_variant,
    time_to_decision,
)
from drip_pipeline.experiments.chi_square import chi_square_critical, pair_chi_square
from tests.experiments.tables import opens


def test_one_look_equals_statsmodels():
    # One-tailed at alpha/2 is the documented two-sided test whose other side is never met.
    expected = samplesize_proportions_2indep_onetail(
        0.02, 0.10, power=0.8, alpha=0.025, alternative="larger"
    )
    found = sample_size_per_variant(10, 2, method=DecisionMethod.FIXED_HORIZON)
    assert found == pytest.approx(expected, rel=0.02)


def test_one_look_with_the_planned_sample_has_the_power_asked_for():
    n = sample_size_per_variant(10, 2, method=DecisionMethod.FIXED_HORIZON, power=0.9)
    x = np.random.default_rng(1).binomial(n, (0.10, 0.12), size=(20_000, 2))
    found = (pair_chi_square(x[:, 0], n, x[:, 1], n) >= chi_square_critical(0.05, 1)).mean()
    assert found == pytest.approx(0.9, abs=0.01)


def test_planned_looks_need_a_few_more_contacts_and_always_valid_more_again():
    sizes = [
        sample_size_per_variant(10, 1, method=method)
        for method in (
            DecisionMethod.FIXED_HORIZON,
            DecisionMethod.PLANNED,
            DecisionMethod.ALWAYS_VALID,
        )
    ]
    assert sizes == sorted(sizes)
    assert sizes[1] / sizes[0] == pytest.approx(1.05, abs=0.02)
    assert 1.3 < sizes[2] / sizes[0] < 2.5


def test_a_drop_needs_as_many_contacts_as_the_mirrored_gain():
    up = sample_size_per_variant(10, 2, method=DecisionMethod.FIXED_HORIZON)
    assert sample_size_per_variant(12, -2, method=DecisionMethod.FIXED_HORIZON) == up


def test_effect_size_formula_is_close():
    effect = 2 * (math.asin(math.sqrt(0.12)) - math.asin(math.sqrt(0.10)))
    expected = NormalIndPower().solve_power(effect, alpha=0.05, power=0.8)
    found = sample_size_per_variant(10, 2, method=DecisionMethod.FIXED_HORIZON)
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("rate", "lift"), [(10, 0), (99, 2), (1, -2)])
def test_a_lift_of_zero_is_refused(rate, lift):
    with pytest.raises(ValueError, match="rates lie between"):
        sample_size_per_variant(rate, lift)


def test_the_estimated_contacts_decide_if_the_rates_stay():
    for config in (
        {},
        {"decision_method": "planned", "planned_sample_size": 40_000},
        {"minimum_sample_size": 3000},
    ):
        test = opens((480, 2000), (450, 2000), runtime_hours=10.0, **config)
        verdict = evaluate_test(test)
        assert verdict.state is State.COLLECTING
        estimate = time_to_decision(test, verdict)
        assert estimate.more_per_variant is not None
        n = 2000 + round(1.02 * estimate.more_per_variant)
        later = opens((round(0.24 * n), n), (round(0.225 * n), n), **config)
        assert evaluate_test(later).state is State.DECIDED_WINNER
        n = 2000 + round(0.95 * estimate.more_per_variant)
        sooner = opens((round(0.24 * n), n), (round(0.225 * n), n), **config)
        assert evaluate_test(sooner).state is State.COLLECTING
        assert estimate.hours == pytest.approx(10 * estimate.more_per_variant / 2000, rel=1e-2)


def test_a_fixed_horizon_takes_until_its_planned_sample():
    test = opens(
        (480, 2000),
        (450, 2000),
        runtime_hours=10.0,
        decision_method="fixed_horizon",
        planned_sample_size=3000,
    )
    estimate = time_to_decision(test, evaluate_test(test))
    assert estimate.more_per_variant == 1000
    assert estimate.hours == pytest.approx(5.0)


def test_without_a_lead_only_the_maximum_duration_is_known():
    test = opens((450, 2000), (450, 2000), runtime_hours=10.0)
    estimate = time_to_decision(test, evaluate_test(test))
    assert (estimate.hours, estimate.more_per_variant) == (None, None)
    limited = opens((450, 2000), (450, 2000), runtime_hours=10.0, max_duration_hours=24.0)
    assert time_to_decision(limited, evaluate_test(limited)).hours == 14.0


def test_a_decided_test_has_0_hours_left_and_an_empty_one_no_estimate():
    test = opens((600, 2000), (450, 2000))
    assert time_to_decision(test, evaluate_test(test)).hours == 0
    nothing = opens((0, 0), (0, 0), runtime_hours=1.0)
    assert time_to_decision(nothing, evaluate_test(nothing)).more_per_variant is None


def test_the_estimate_includes_the_minimum_runtime():
    test = opens((600, 2000), (450, 2000), runtime_hours=10.0, minimum_runtime_hours=24.0)
    assert time_to_decision(test, evaluate_test(test)).hours == pytest.approx(14.0)
