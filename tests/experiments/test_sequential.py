from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from drip_pipeline.experiments.chi_square import chi_square_p
from drip_pipeline.experiments.sequential import (
    always_valid_multiplier,
    always_valid_p,
    mixture_variance,
    planned_boundary,
    planned_p,
    planned_progress,
)


def mixture_p(z: float, contacts: float, spread: float) -> float:
    """1 / likelihood ratio of z under effects θ ~ N(0, spread²) against no effect, by numerical
    integration.
    """

    def ratio(theta: float) -> float:
        drift = theta * math.sqrt(contacts)
        return math.exp(z * drift - drift * drift / 2) * stats.norm.pdf(theta, 0, spread)

    peak = z / math.sqrt(contacts)
    value, _ = integrate.quad(
        ratio, -12 * spread, 12 * spread, points=[0.0, peak], epsabs=0, epsrel=1e-12, limit=400
    )
    return min(1.0, 1 / value)


@pytest.mark.parametrize("minimum_sample", [10, 100, 2500])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
@pytest.mark.parametrize(("z", "contacts"), [(0.4, 300), (2.2, 1000), (3.1, 2000), (4.5, 40_000)])
def test_the_always_valid_p_is_the_numerical_mixture_integral(minimum_sample, alpha, z, contacts):
    rho2 = float(mixture_variance(alpha, minimum_sample))
    found = float(always_valid_p(z * z, rho2 * contacts))
    assert found == pytest.approx(mixture_p(z, contacts, math.sqrt(rho2)), rel=1e-8)


def test_the_mixture_is_tuned_as_documented():
    expected = (-2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))) / 2000
    assert float(mixture_variance(0.05, 100)) == pytest.approx(expected, rel=1e-14)


def test_the_interval_excludes_zero_exactly_when_the_p_is_below_alpha():
    for contacts in (50, 2000, 10**6):
        r = mixture_variance(0.05, 100) * contacts
        z = float(always_valid_multiplier(r, 0.05))
        assert float(always_valid_p(z * z, r)) == pytest.approx(0.05, rel=1e-12)


def test_without_contacts_the_p_is_1():
    assert float(always_valid_p(0.0, 0.0)) == 1.0
    assert math.isinf(float(always_valid_multiplier(0.0, 0.05)))


def test_sequential_ps_never_fall_below_the_single_look_p():
    chi2 = np.linspace(0, 400, 4001)
    single = chi_square_p(chi2, 1)
    for r in (1e-6, 0.01, 1.0, 30.0, 1e6):
        assert (always_valid_p(chi2, r) >= single).all()
    for t in (1e-4, 0.3, 0.9, 1.0, 5.0):
        assert (planned_p(chi2, t) >= single * (1 - 1e-12)).all()


def survival(b: float) -> float:
    """P(sup |W| < b on [0, 1]) by the images of the interval's ends, summed far beyond need."""
    total = 0.0
    for k in range(-60, 61):
        sign = -1.0 if k % 2 else 1.0
        total += sign * float(stats.norm.cdf((2 * k + 1) * b) - stats.norm.cdf((2 * k - 1) * b))
    return total


@pytest.mark.parametrize("b", [0.3, 0.6, 0.999, 1.0, 1.4, 2.2414, 3.5])
def test_the_planned_p_is_the_chance_of_a_brownian_motion_to_leave_the_strip(b):
    assert float(planned_p(b * b, 1.0)) == pytest.approx(1 - survival(b), abs=1e-13)


def test_the_planned_p_far_out_keeps_its_relative_precision():
    b = 9.0
    assert float(planned_p(b * b, 1.0)) == pytest.approx(4 * float(stats.norm.sf(b)), rel=1e-12)


def test_the_planned_boundary_has_its_p_and_the_known_value():
    assert planned_boundary(0.05) == pytest.approx(2.2414, abs=1e-4)
    for alpha in (0.001, 0.01, 0.1, 0.4):
        assert float(planned_p(planned_boundary(alpha) ** 2, 1.0)) == pytest.approx(alpha, rel=1e-9)


def test_the_plan_is_complete_with_the_planned_contacts_in_both_variants():
    assert float(planned_progress(500, 500, 500)) == 1.0
    assert float(planned_progress(250, 250, 500)) == 0.5
    assert float(planned_progress(0, 0, 500)) == 0.0
    assert float(planned_progress(900, 100, 500)) == pytest.approx(0.36)


def test_beyond_the_plan_the_p_stays_the_one_of_the_last_look():
    assert float(planned_p(6.0, 3.0)) == float(planned_p(6.0, 1.0))
