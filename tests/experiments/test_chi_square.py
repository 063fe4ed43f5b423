from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportions_chisquare

from drip_pipeline.experiments.chi_square import (
    chi_square_critical,
    chi_square_p,
    pair_chi_square,
    pooled_variance,
    smallest_expected_cell,
    table_chi_square,
    unpooled_variance,
)


def exact_chi_square(successes, totals) -> Fraction:
    """Σ (observed − expected)² / expected over all cells, in fractions."""
    grand, hits = sum(totals), sum(successes)
    total = Fraction(0)
    for x, n in zip(successes, totals, strict=True):
        for observed, margin in ((x, hits), (n - x, grand - hits)):
            expected = Fraction(n * margin, grand)
            total += (observed - expected) ** 2 / expected
    return total


SEVERAL = st.integers(2, 6)


@st.composite
def tables(draw, variants=SEVERAL):
    totals = [draw(st.integers(1, 10**7)) for _ in range(draw(variants))]
    successes = [draw(st.integers(0, n)) for n in totals]
    return successes, totals


def varies(successes, totals) -> bool:
    return bool(0 < sum(successes) < sum(totals))


@given(tables())
def test_chi_square_over_all_variants_equals_exact_fractions(table):
    successes, totals = table
    found = float(table_chi_square(successes, totals))
    if not varies(successes, totals):
        assert math.isnan(found)
        return
    assert found == pytest.approx(float(exact_chi_square(successes, totals)), rel=1e-10, abs=1e-12)


@given(tables(variants=st.just(2)))
def test_chi_square_of_a_pair_equals_exact_fractions(table):
    (x_a, x_b), (n_a, n_b) = table
    found = float(pair_chi_square(x_a, n_a, x_b, n_b))
    if not varies(*table):
        assert math.isnan(found)
        return
    assert found == pytest.approx(float(exact_chi_square(*table)), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "totals"),
    [
        ([267, 189], [21307, 21387]),
        ([30, 45, 61], [300, 310, 295]),
        ([1, 2, 3, 9], [40, 50, 60, 7]),
    ],
)
def test_chi_square_and_p_equal_statsmodels(successes, totals):
    expected, p, _ = proportions_chisquare(successes, totals)
    found = table_chi_square(successes, totals)
    assert float(found) == pytest.approx(expected, rel=1e-10)
    assert float(chi_square_p(found, len(totals) - 1)) == pytest.approx(p, rel=1e-10)


def test_p_values_equal_scipy_far_into_the_tail():
    chi2 = np.array([0.0, 1e-9, 1.0, 3.84, 50.0, 700.0])
    for degrees in (1, 2, 4):
        expected = stats.chi2.sf(chi2, degrees)
        np.testing.assert_allclose(chi_square_p(chi2, degrees), expected, rtol=1e-13)


def test_the_critical_value_has_its_p():
    assert float(chi_square_p(chi_square_critical(0.05, 3), 3)) == pytest.approx(0.05, rel=1e-12)


def test_thousands_of_tables_in_one_call_equal_one_at_a_time():
    rng = np.random.default_rng(5)
    totals = rng.integers(1, 5000, size=(3000, 4))
    successes = rng.binomial(totals, 0.1)
    together = table_chi_square(successes, totals)
    alone = [float(table_chi_square(x, n)) for x, n in zip(successes, totals, strict=True)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("successes", "totals"),
    [([0, 0], [0, 0]), ([0, 3], [0, 9]), ([0, 0], [5, 5]), ([5, 5], [5, 5]), ([1, 1], [1, 1])],
)
def test_degenerate_tables_give_nan_and_no_warning(successes, totals):
    assert np.isnan(table_chi_square(successes, totals))
    assert np.isnan(pair_chi_square(successes[0], totals[0], successes[1], totals[1]))


@given(tables())
def test_the_smallest_expected_cell_is_the_smallest_of_all_cells(table):
    successes, totals = table
    grand, hits = sum(totals), sum(successes)
    cells = [Fraction(n * margin, grand) for n in totals for margin in (hits, grand - hits)]
    found = float(smallest_expected_cell(successes, totals))
    assert found == pytest.approx(float(min(cells)), rel=1e-12)


def test_pooled_variance_is_what_makes_chi_square():
    x_a, n_a, x_b, n_b = 37, 410, 21, 515
    difference = x_a / n_a - x_b / n_b
    chi2 = float(pair_chi_square(x_a, n_a, x_b, n_b))
    assert difference**2 / float(pooled_variance(x_a, n_a, x_b, n_b)) == pytest.approx(chi2)
    unpooled = x_a / n_a * (1 - x_a / n_a) / n_a + x_b / n_b * (1 - x_b / n_b) / n_b
    assert float(unpooled_variance(x_a, n_a, x_b, n_b)) == pytest.approx(unpooled)
