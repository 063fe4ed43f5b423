"""Welch's t-test and Welch's one-way analysis of variance from summaries (n, Σs, Σs²), vectorized.

For metrics that average a score per contact. Degenerate summaries give NaN, as in `chi_square.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from drip_pipeline.experiments.chi_square import Floats, floats, sum_columns


@dataclass(frozen=True, slots=True)
class SampleStatistics:
    """Contacts, mean and sample variance (n − 1) of each group, arrays of one shape. The variance
    is NaN below two contacts.
    """

    n: Floats
    mean: Floats
    variance: Floats


def sample_statistics(
    n: ArrayLike, score_sum: ArrayLike, score_sum_squares: ArrayLike
) -> SampleStatistics:
    """Return mean and variance from one SQL aggregate. Rounding noise of equal scores (Σs² −
    (Σs)²/n ≈ 1e−16·Σs²) counts as 0.
    """
    count, total, squares = floats(n), floats(score_sum), floats(score_sum_squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
        spread = squares - total * mean
        spread = np.where(spread <= 1e-12 * squares, 0.0, spread)
        variance = np.where(count >= 2, spread / (count - 1), np.nan)
    return SampleStatistics(count, mean, variance)


@dataclass(frozen=True, slots=True)
class PairTests:
    """Comparisons of two groups. `t_squared`, `p`: Welch. `cautious`: the smaller of Welch's and
    Student's t², which decides; `variance`: of the difference of means, as `cautious` uses it. NaN
    if a comparison cannot be tested.
    """

    t_squared: Floats
    p: Floats
    cautious: Floats
    variance: Floats


def welch_pairs(a: SampleStatistics, b: SampleStatistics) -> PairTests:
    """Compute Welch's t-test of group a against group b; shapes broadcast.

    The decision uses the larger of Welch's and Student's variance. With a look every minute, Welch
    alone names 5 to 7 % false winners at 90/10 with rare events (a small group without a rare event
    has too small a variance of its own), and Student alone is wrong if the variances truly differ.
    The larger of the two holds in both cases (0 to 3.4 %) and equals Welch's on even splits.
    """
    from scipy import special

    with np.errstate(divide="ignore", invalid="ignore"):
        part_a, part_b = a.variance / a.n, b.variance / b.n
        welch = part_a + part_b
        degrees = welch**2 / (part_a**2 / (a.n - 1) + part_b**2 / (b.n - 1))
        shared = ((a.n - 1) * a.variance + (b.n - 1) * b.variance) / (a.n + b.n - 2)
        student = shared * (1 / a.n + 1 / b.n)
        difference_squared = (a.mean - b.mean) ** 2
        larger = np.maximum(welch, student)
        valid = welch > 0
        t_squared = np.where(valid, difference_squared / welch, np.nan)
        p = 2 * floats(special.stdtr(degrees, -np.sqrt(t_squared)))
        cautious = np.where(valid, difference_squared / larger, np.nan)
    return PairTests(t_squared, p, cautious, np.where(valid, larger, np.nan))


def welch_anova_p(groups: SampleStatistics) -> Floats:
    """Return the p of Welch's analysis of variance (B. L. Welch, Biometrika 38, 1951), shapes
    (…, K) → (…), K ≥ 2.

    For two groups it is Welch's t-test. NaN if a group has fewer than two contacts or no variance
    (for two groups: if neither has a variance).
    """
    from scipy import special

    if groups.n.shape[-1] == 2:
        first, second = (
            SampleStatistics(groups.n[..., i], groups.mean[..., i], groups.variance[..., i])
            for i in (0, 1)
        )
        return welch_pairs(first, second).p
    k = groups.n.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = groups.n / groups.variance
        total = sum_columns(weight)
        center = sum_columns(weight * groups.mean) / total
        between = sum_columns(weight * (groups.mean - center[..., None]) ** 2) / (k - 1)
        spread = sum_columns((1 - weight / total[..., None]) ** 2 / (groups.n - 1))
        f = between / (1 + 2 * (k - 2) / (k * k - 1) * spread)
        p = floats(special.fdtrc(k - 1, (k * k - 1) / (3 * spread), f))
    return np.where((groups.variance > 0).all(axis=-1), p, np.nan)
