"""Pearson's chi-square without Yates' correction, for thousands of 2×K tables in one call and for
all pairs of their columns.

Pooled variance: the unpooled form names up to 9 % false winners on skewed splits. Degenerate tables
give NaN in the arrays; `comparisons.py` turns that into None with a reason.
`scipy.stats.chi2_contingency` would raise for them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def floats(values: ArrayLike) -> Floats:
    """Convert to an array of doubles; counts up to 2^53 stay exact."""
    return np.asarray(values, dtype=np.float64)


def sum_columns(table: Floats) -> Floats:
    """Sum over the last axis, left to right, so that a table gives the same bits alone and among
    thousands of tables.
    """
    total = table[..., 0].copy()
    for column in range(1, table.shape[-1]):
        total += table[..., column]
    return total


def pair_chi_square(x_a: ArrayLike, n_a: ArrayLike, x_b: ArrayLike, n_b: ArrayLike) -> Floats:
    """Return χ² (1 degree of freedom) of x_a of n_a against x_b of n_b; NaN if a group is empty or
    nothing varies.

    χ² = N·(x_a·n_b − x_b·n_a)² / (n_a·n_b·S·(N − S)), N = n_a + n_b, S = x_a + x_b. Shapes
    broadcast.
    """
    xa, na, xb, nb = floats(x_a), floats(n_a), floats(x_b), floats(n_b)
    total, successes = na + nb, xa + xb
    cross = xa * nb - xb * na
    with np.errstate(divide="ignore", invalid="ignore"):
        # Two quotients instead of one: the product of all four factors leaves the range of a double
        # for large counts.
        chi2 = (cross / na / nb) * (cross / successes / (total - successes)) * total
    degenerate = (na <= 0) | (nb <= 0) | (successes <= 0) | (successes >= total)
    return np.where(degenerate, np.nan, chi2)


def table_chi_square(successes: ArrayLike, totals: ArrayLike) -> Floats:
    """Return χ² of 2×K tables, shapes (…, K) → (…); K − 1 degrees of freedom. NaN if a column is
    empty or nothing varies.
    """
    x, n = floats(successes), floats(totals)
    grand, hits = sum_columns(n)[..., None], sum_columns(x)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = x * grand - n * hits
        chi2 = sum_columns((cross / n) * (cross / hits / (grand - hits)))
    degenerate = (n <= 0).any(axis=-1) | (hits <= 0)[..., 0] | (hits >= grand)[..., 0]
    return np.where(degenerate, np.nan, chi2)


def smallest_expected_cell(successes: ArrayLike, totals: ArrayLike) -> Floats:
    """Return the smallest expected count of 2×K tables, shapes (…, K) → (…); NaN for a table
    without contacts.

    With Σ scores as successes it is the smallest expected mass of a score in [0, 1].
    """
    x, n = floats(successes), floats(totals)
    grand, hits = sum_columns(n), sum_columns(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return floats(n.min(axis=-1) * np.minimum(hits, grand - hits) / grand)


def chi_square_p(chi2: ArrayLike, degrees: ArrayLike) -> Floats:
    """Return P(χ²_degrees ≥ chi2), elementwise; NaN stays NaN. Calls the function behind
    `scipy.stats.chi2.sf` directly, because importing scipy.stats takes 1.5 s.
    """
    from scipy import special

    return floats(special.chdtrc(floats(degrees), floats(chi2)))


def chi_square_critical(alpha: float, degrees: int) -> float:
    """Return the χ² whose p is alpha (3.84 for 0.05 and 1 degree of freedom)."""
    from scipy import special

    return float(special.chdtri(degrees, alpha))


def pooled_variance(x_a: ArrayLike, n_a: ArrayLike, x_b: ArrayLike, n_b: ArrayLike) -> Floats:
    """Return the variance of the difference of two rates under equality; diff²/variance is χ². NaN
    if a group is empty.
    """
    xa, na, xb, nb = floats(x_a), floats(n_a), floats(x_b), floats(n_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (xa + xb) / (na + nb)
        return rate * (1 - rate) * (1 / na + 1 / nb)


def unpooled_variance(x_a: ArrayLike, n_a: ArrayLike, x_b: ArrayLike, n_b: ArrayLike) -> Floats:
    """Return the variance of the difference of two rates, each with its own variance. NaN if a
    group is empty.
    """
    xa, na, xb, nb = floats(x_a), floats(n_a), floats(x_b), floats(n_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate_a, rate_b = xa / na, xb / nb
        return rate_a * (1 - rate_a) / na + rate_b * (1 - rate_b) / nb
