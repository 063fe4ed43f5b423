from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.oneway import anova_oneway
from statsmodels.stats.weightstats import ttest_ind

from drip_pipeline.experiments.welch import (
    SampleStatistics,
    sample_statistics,
    welch_anova_p,
    welch_pairs,
)

SCORES = np.array([0.0, 0.3, 0.4, 0.6, 0.7, 1.0])


def people(seed, *sizes):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(6), size=len(sizes))
    return [rng.choice(SCORES, size=n, p=w) for n, w in zip(sizes, weights, strict=True)]


def summary(groups) -> SampleStatistics:
    return sample_statistics(
        [len(g) for g in groups], [g.sum() for g in groups], [(g**2).sum() for g in groups]
    )


def part(found: SampleStatistics, i: int) -> SampleStatistics:
    return SampleStatistics(found.n[..., i], found.mean[..., i], found.variance[..., i])


@pytest.mark.parametrize("seed", range(8))
def test_welchs_t_equals_statsmodels(seed):
    a, b = people(seed, 40 + 31 * seed, 900)
    t, p, _ = ttest_ind(a, b, usevar="unequal")
    found = summary([a, b])
    tests = welch_pairs(part(found, 0), part(found, 1))
    assert float(tests.t_squared) == pytest.approx(t**2, rel=1e-9)
    assert float(tests.p) == pytest.approx(p, rel=1e-9)
    assert float(welch_anova_p(found)) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_welchs_anova_equals_statsmodels(seed):
    groups = people(seed, 50, 300, 120 + seed, 77)
    expected = anova_oneway(groups, use_var="unequal").pvalue
    assert float(welch_anova_p(summary(groups))) == pytest.approx(expected, rel=1e-9)


def test_summaries_equal_scipys_test_from_statistics():
    a, b = people(3, 500, 480)
    expected = stats.ttest_ind_from_stats(
        a.mean(), a.std(ddof=1), len(a), b.mean(), b.std(ddof=1), len(b), equal_var=False
    )
    found = summary([a, b])
    tests = welch_pairs(part(found, 0), part(found, 1))
    assert float(tests.p) == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_deciding_statistic_is_welchs_on_even_splits_and_never_larger():
    a, b = people(11, 700, 700)
    even = summary([a, b])
    tests = welch_pairs(part(even, 0), part(even, 1))
    assert float(tests.cautious) == pytest.approx(float(tests.t_squared), rel=1e-12)
    rare = np.zeros(1000)
    rare[:3] = 1.0
    skewed = summary([np.repeat([0.0, 1.0], [8900, 100]), rare])
    tests = welch_pairs(part(skewed, 0), part(skewed, 1))
    assert float(tests.cautious) < float(tests.t_squared)


def test_equal_scores_have_no_variance_however_they_were_summed():
    n = 100_003
    found = sample_statistics([n, n], [0.3 * n, 0.7 * n], [0.09 * n, 0.49 * n])
    assert found.variance.tolist() == [0.0, 0.0]
    assert np.isnan(welch_pairs(part(found, 0), part(found, 1)).p)


def test_one_contact_has_no_variance_and_no_test():
    found = sample_statistics([1, 50], [0.3, 9.0], [0.09, 4.0])
    assert np.isnan(found.variance[0])
    assert np.isnan(welch_anova_p(found))


def test_two_variants_can_be_compared_if_one_has_no_events():
    a = np.zeros(200)
    (b,) = people(2, 210)
    found = summary([a, b])
    _, p, _ = ttest_ind(a, b, usevar="unequal")
    assert float(welch_anova_p(found)) == pytest.approx(p, rel=1e-9)
