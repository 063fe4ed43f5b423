from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from drip_pipeline.experiments import ABTest, Reason, VariantCounts, read_test_config
from drip_pipeline.experiments.sample_ratio import (
    configured_shares,
    ratio_chi_square,
    sample_ratios,
    sequential_ratio_p,
)


def predictive_p(arrivals, shares) -> float:
    """1/e, person by person: e multiplies by the predicted probability of each arrival over the
    promised one.
    """
    weight = [100 * Fraction(s).limit_denominator(1000) for s in shares]
    e = Fraction(1)
    for group in arrivals:
        e *= weight[group] / sum(weight) / Fraction(shares[group]).limit_denominator(1000)
        weight[group] += 1
    return float(min(Fraction(1), 1 / e))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.2, 0.3, 0.5)])
def test_the_sequential_p_is_the_product_of_predictions(shares):
    rng = np.random.default_rng(4)
    arrivals = rng.choice(
        len(shares), size=300, p=(0.6, *(0.4 / (len(shares) - 1),) * (len(shares) - 1))
    )
    counts = np.bincount(arrivals, minlength=len(shares))
    found = float(sequential_ratio_p(counts, shares))
    assert found == pytest.approx(predictive_p(arrivals.tolist(), shares), rel=1e-10)


def test_the_chi_square_equals_scipy():
    counts, shares = [4_980, 3_100, 2_020], np.array([0.5, 0.3, 0.2])
    expected = stats.chisquare(counts, shares * sum(counts)).statistic
    assert float(ratio_chi_square(counts, shares)) == pytest.approx(expected, rel=1e-12)


def test_a_fair_assignment_is_rarely_blocked_at_any_look():
    rng = np.random.default_rng(8)
    counts = rng.binomial(1, 0.5, size=(400, 3000)).cumsum(axis=1)
    total = np.arange(1, 3001)
    tables = np.stack([counts, total - counts], axis=-1)
    ever = (sequential_ratio_p(tables, np.array([0.5, 0.5])) < 0.01).any(axis=1)
    assert ever.mean() <= 0.01


def test_contacts_in_a_variant_with_share_0_are_impossible():
    assert float(sequential_ratio_p([10, 1], [1.0, 0.0])) == 0.0
    assert float(sequential_ratio_p([10, 0], [1.0, 0.0])) == 1.0


def variant(name, assigned=None, weight=None, **more):
    return VariantCounts(name, 0, assigned=assigned, weight=weight, **more)


def ratio(*variants, **config):
    return sample_ratios([ABTest(variants, read_test_config(config))])[0]


def test_unknown_assignments_and_unknown_weights_have_different_reasons():
    assert ratio(variant("a", 5, 50), variant("b", None, 50)).reason is Reason.ASSIGNED_UNKNOWN
    assert ratio(variant("a", 5, 50), variant("b", 5)).reason is Reason.WEIGHTS_UNKNOWN
    assert ratio(variant("a", 5, 0), variant("b", 5, 0)).reason is Reason.WEIGHTS_UNKNOWN
    assert ratio(variant("a", 5, -1), variant("b", 5, 2)).reason is Reason.WEIGHTS_UNKNOWN
    assert ratio(variant("a", 0, 50), variant("b", 0, 50)).reason is Reason.NOBODY_ASSIGNED


def test_only_the_proportions_of_weights_matter():
    assert ratio(variant("a", 60, 1), variant("b", 40, 1)) == ratio(
        variant("a", 60, 50), variant("b", 40, 50)
    )


def test_the_holdout_takes_its_percentage_and_the_variants_share_the_rest():
    test = ABTest(
        (
            variant("a", 45, 50),
            variant("b", 45, 50),
            variant("none", 10, is_holdout=True),
        ),
        read_test_config({"holdout_percentage": 10.0}),
    )
    assert configured_shares(test) == pytest.approx((0.45, 0.45, 0.1))
