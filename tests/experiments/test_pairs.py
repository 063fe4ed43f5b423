from __future__ import annotations

import numpy as np
import pytest

from drip_pipeline.experiments.pairs import (
    GroupSums,
    compare,
    interval_points,
    or_none,
    relative_interval_pct,
)


def watched(rates, shares, runs=250, looks=80, people=120, seed=6):
    """Simulate a growing test: the groups at every look of every run, once the requirements are
    met.
    """
    rng = np.random.default_rng(seed)
    arrived = rng.multinomial(people, shares, size=(runs, looks))
    n = arrived.cumsum(axis=1)
    x = rng.binomial(arrived, rates).cumsum(axis=1)
    ready = (n.min(axis=2) >= 100) & (x.sum(axis=2) * n.min(axis=2) / n.sum(axis=2) >= 5)
    groups = [
        [GroupSums(int(c), int(s)) for c, s in zip(n[ready][:, i], x[ready][:, i], strict=True)]
        for i in (0, 1)
    ]
    run = np.nonzero(ready)[0]
    return groups, run


def only_interval(pairs):
    (low,), (high,) = interval_points(pairs, pairs.always_valid)
    return float(low), float(high)


def figures(groups):
    a, b = groups
    return compare(a, b, [0.05] * len(a), [100] * len(a))


@pytest.mark.parametrize("rates", [(0.1, 0.1), (0.1, 0.2), (0.2, 0.1), (0.1, 0.4)])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1)])
def test_the_interval_holds_at_every_look_on_skewed_splits_too(rates, shares):
    groups, run = watched(rates, shares)
    pairs = figures(groups)
    low, high = interval_points(pairs, pairs.always_valid)
    truth = 100 * (rates[0] - rates[1])
    missed = np.unique(run[(truth < low) | (truth > high)])
    assert len(missed) / 250 <= 0.06


def test_the_relative_interval_holds_at_every_look():
    groups, run = watched((0.2, 0.1), (0.7, 0.3))
    pairs = figures(groups)
    x_a, n_a, x_b, n_b = (
        np.array([getattr(g, field) for g in of], dtype=float)
        for of in groups
        for field in ("total", "contacts")
    )
    low, high = relative_interval_pct(pairs, x_a, n_a, x_b, n_b, pairs.always_valid)
    missed = np.unique(run[(low > 100) | (high < 100)])
    assert len(missed) / 250 <= 0.06


def test_on_even_splits_the_interval_is_the_documented_one():
    a, b = GroupSums(2000, 600), GroupSums(2000, 450)
    pairs = figures(([a], [b]))
    low, high = only_interval(pairs)
    rate = 1050 / 4000
    error = (rate * (1 - rate) * 2 / 2000) ** 0.5
    r = (-2 * np.log(0.05) + np.log(1 - 2 * np.log(0.05))) / 2000 * 4000
    half = 100 * error * (2 * (1 + r) / r * np.log(np.sqrt(1 + r) / 0.05)) ** 0.5
    assert (low, high) == pytest.approx((7.5 - half, 7.5 + half), rel=1e-12)


def test_the_interval_of_a_significant_pair_excludes_the_other_direction():
    # The small variant is the better one: its own variance is much larger than the pooled one. The
    # first count at which the pair is decided:
    found = (figures(([GroupSums(9000, 900)], [GroupSums(1000, x)])) for x in range(101, 200))
    pairs = next(pairs for pairs in found if pairs.always_valid[0] <= 0.05)
    low, high = only_interval(pairs)
    assert low < high == 0.0


def test_an_interval_never_leaves_the_possible_differences():
    pairs = figures(([GroupSums(3, 3)], [GroupSums(3, 0)]))
    low, high = only_interval(pairs)
    assert -100 <= low <= high <= 100
    assert or_none(np.array([np.nan, 1.0])) == [None, 1.0]
