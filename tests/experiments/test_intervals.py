from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from drip_pipeline.experiments.intervals import (
    chance_to_be_best,
    chance_to_be_best_mean,
    fisher_p,
    holm,
    newcombe_interval,
    wilson_interval,
)


@pytest.mark.parametrize(
    "table", [(267, 21307, 189, 21387), (3, 40, 9, 38), (0, 50, 4, 60), (50, 50, 30, 31)]
)
@pytest.mark.parametrize("confidence", [90.0, 95.0, 99.5])
def test_newcombes_interval_equals_statsmodels(table, confidence):
    x_a, n_a, x_b, n_b = table
    low, high = confint_proportions_2indep(
        *table, method="newcomb", compare="diff", alpha=1 - confidence / 100
    )
    assert newcombe_interval(x_a, n_a, x_b, n_b, confidence) == pytest.approx(
        (100 * low, 100 * high), rel=1e-9
    )


@pytest.mark.parametrize(("x", "n"), [(0, 10), (10, 10), (3, 17), (267, 21307)])
def test_wilsons_interval_equals_statsmodels(x, n):
    expected = proportion_confint(x, n, alpha=0.05, method="wilson")
    found = wilson_interval(x, n, float(stats.norm.isf(0.025)))
    assert found == pytest.approx(expected, abs=1e-12)


def test_empty_groups_have_no_interval():
    assert newcombe_interval(0, 0, 1, 5, 95.0) is None
    assert wilson_interval(0, 0, 2.0) is None


@pytest.mark.parametrize("seed", range(5))
def test_holm_equals_statsmodels(seed):
    p = np.random.default_rng(seed).beta(0.3, 2, size=10).tolist()
    expected = multipletests(p, method="holm")[1]
    assert holm(p) == pytest.approx(expected, rel=1e-12)


def test_holm_skips_pairs_without_p():
    assert holm([0.01, None, 0.04]) == [0.02, None, 0.04]
    assert holm([]) == []


def test_fisher_sums_the_tables_that_are_no_likelier():
    x_a, n_a, x_b, n_b = 1, 12, 6, 14
    hits, grand = x_a + x_b, n_a + n_b
    weight = {
        k: math.comb(n_a, k) * math.comb(n_b, hits - k)
        for k in range(max(0, hits - n_b), min(n_a, hits) + 1)
    }
    expected = sum(w for w in weight.values() if w <= weight[x_a]) / math.comb(grand, hits)
    assert fisher_p(x_a, n_a, x_b, n_b) == pytest.approx(expected, rel=1e-10)


def test_fisher_is_none_for_large_cells_and_for_empty_tables():
    assert fisher_p(100, 1000, 130, 1000) is None
    assert fisher_p(0, 0, 3, 10) is None
    assert fisher_p(0, 10, 0, 10) is None


def evan_miller(x_a, n_a, x_b, n_b) -> float:
    """P(b > a) of Beta(1 + x, 1 + n − x) posteriors as a finite sum of beta functions."""
    a_a, b_a, a_b, b_b = x_a + 1, n_a - x_a + 1, x_b + 1, n_b - x_b + 1
    i = np.arange(a_b)
    terms = special.betaln(a_a + i, b_a + b_b) - np.log(b_b + i)
    terms -= special.betaln(1 + i, b_b) + special.betaln(a_a, b_a)
    return float(np.exp(terms).sum())


@pytest.mark.parametrize("table", [(20, 100, 30, 100), (0, 10, 3, 9), (300, 5000, 310, 4000)])
def test_the_chance_to_be_best_of_two_equals_the_closed_sum(table):
    x_a, n_a, x_b, n_b = table
    expected = evan_miller(*table)
    found = chance_to_be_best([x_a, x_b], [n_a, n_b])
    assert found == pytest.approx([1 - expected, expected], abs=1e-8)


@pytest.mark.parametrize(
    ("successes", "contacts"),
    [([5, 5, 5], [50, 50, 50]), ([0, 0, 0], [0, 0, 0]), ([267, 189, 9000], [21307, 21387, 20000])],
)
def test_chances_sum_to_one_and_equals_share(successes, contacts):
    chances = chance_to_be_best(successes, contacts)
    assert sum(chances) == pytest.approx(1, abs=1e-8)
    if len(set(successes)) == 1:
        assert chances == pytest.approx([1 / 3] * 3, abs=1e-8)


def test_the_chance_of_means_equals_the_normal_difference():
    found = chance_to_be_best_mean([0.30, 0.32], [0.01, 0.02])
    expected = float(stats.norm.cdf(0.02 / math.hypot(0.01, 0.02)))
    assert found == pytest.approx([1 - expected, expected], abs=1e-8)
    assert chance_to_be_best_mean([0.3, 0.3], [0.0, 0.1]) is None


def test_the_chance_of_three_means_equals_a_direct_integral():
    means, errors = [0.1, 0.11, 0.13], [0.02, 0.03, 0.01]

    def integrand(x):
        others = stats.norm.cdf(x, means[0], errors[0]) * stats.norm.cdf(x, means[1], errors[1])
        return stats.norm.pdf(x, means[2], errors[2]) * others

    expected, _ = integrate.quad(integrand, 0.0, 0.3, epsabs=1e-12)
    found = chance_to_be_best_mean(means, errors)
    assert found is not None
    assert found[2] == pytest.approx(expected, abs=1e-8)
