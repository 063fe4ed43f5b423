"""Statistics that are reported and never decide: Newcombe and Wilson intervals, Holm, Fisher, the
chance to be best.

They are valid for one look. With repeated looks only intervals with the always-valid multiplier
hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from drip_pipeline.experiments.chi_square import Floats, floats, smallest_expected_cell
from drip_pipeline.experiments.verdict import Interval

# Below this expected count the chi-square approximation is inaccurate, and the exact test is
# reported in addition.
FISHER_BELOW_CELL = 5.0


def wilson_interval(successes: float, contacts: int, z: float) -> Interval | None:
    """Return Wilson's score interval of one rate as fractions, z standard errors wide; None without
    contacts.

    With z = `always_valid_multiplier` of the test it holds at every look (E. B. Wilson, 1927).
    """
    if contacts <= 0:
        return None
    rate, weight = successes / contacts, z * z / contacts
    center = rate + weight / 2
    spread = z * math.sqrt(rate * (1 - rate) / contacts + weight / (4 * contacts))
    low, high = (center - spread) / (1 + weight), (center + spread) / (1 + weight)
    return max(0.0, min(low, rate)), min(1.0, max(high, rate))


def newcombe_interval(
    x_a: float, n_a: int, x_b: float, n_b: int, confidence_pct: float
) -> Interval | None:
    """Return Newcombe's hybrid score interval of rate a − rate b in percentage points, without
    continuity correction (Statistics in Medicine 17, 1998, method 10); None if a group is empty.
    For one look.
    """
    from scipy import special

    z = float(special.ndtri(0.5 + confidence_pct / 200))
    of_a, of_b = wilson_interval(x_a, n_a, z), wilson_interval(x_b, n_b, z)
    if of_a is None or of_b is None:
        return None
    a, b = x_a / n_a, x_b / n_b
    low = (a - b) - math.hypot(a - of_a[0], of_b[1] - b)
    high = (a - b) + math.hypot(of_a[1] - a, b - of_b[0])
    return 100 * low, 100 * high


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's step-down adjusted p-values in the order given; None stays None and is not
    counted.
    """
    ordered = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    floor = 0.0
    for rank, (p, i) in enumerate(ordered):
        floor = max(floor, min(1.0, p * (len(ordered) - rank)))
        adjusted[i] = floor
    return adjusted


def fisher_p(x_a: int, n_a: int, x_b: int, n_b: int) -> float | None:
    """Return the two-sided p of Fisher's exact test if the smallest expected cell is under 5,
    otherwise None, because the exact test is slow.
    """
    cell = float(smallest_expected_cell([x_a, x_b], [n_a, n_b])) if n_a + n_b > 0 else math.nan
    if n_a <= 0 or n_b <= 0 or not 0 < cell < FISHER_BELOW_CELL:
        return None
    from scipy import stats

    return float(stats.fisher_exact(np.array([[x_a, n_a - x_a], [x_b, n_b - x_b]])).pvalue)


def chance_to_be_best(successes: Sequence[int], contacts: Sequence[int]) -> list[float]:
    """Return the probability that each rate is the highest, posteriors Beta(1 + x, 1 + n − x), by
    quadrature: no draws, no seed.
    """
    from scipy import special

    a = floats(successes) + 1
    b = floats(contacts) - floats(successes) + 1

    def density(x: Floats) -> Floats:
        log_density = special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b)
        return floats(np.exp(log_density))

    return _chance_highest(
        density,
        lambda x: floats(special.betainc(a, b, x)),
        lambda q: floats(special.betaincinv(a, b, q)),
    )


def chance_to_be_best_mean(
    means: Sequence[float], standard_errors: Sequence[float]
) -> list[float] | None:
    """Return the same for means with normal posteriors; None if a standard error is not > 0."""
    from scipy import special

    center, scale = floats(means), floats(standard_errors)
    if not (scale > 0).all():
        return None

    def density(x: Floats) -> Floats:
        return floats(np.exp(-0.5 * ((x - center) / scale) ** 2) / (scale * math.sqrt(2 * math.pi)))

    return _chance_highest(
        density,
        lambda x: floats(special.ndtr((x - center) / scale)),
        lambda q: floats(center + scale * special.ndtri(q)),
    )


def _chance_highest(
    density: Callable[[Floats], Floats],
    below: Callable[[Floats], Floats],
    quantile: Callable[[Floats], Floats],
) -> list[float]:
    """Compute ∫ f_i · Π_{j≠i} F_j for each i, by Gauss-Legendre between the quantiles of all."""
    tails = 10.0 ** -np.arange(12, 1, -1)
    levels = np.concatenate([tails, np.linspace(0.05, 0.95, 19), 1 - tails[::-1]])
    cuts = np.unique(quantile(levels[:, None]))
    nodes, weights = np.polynomial.legendre.leggauss(16)
    half = np.diff(cuts) / 2
    x = (cuts[:-1, None] + half[:, None] * (nodes + 1)).ravel()[:, None]
    weight = (half[:, None] * weights).ravel()
    f, cumulative = density(x), below(x)
    chances = []
    for i in range(f.shape[1]):
        others = np.prod(np.delete(cumulative, i, axis=1), axis=1)
        chances.append(float(min(1.0, (weight * f[:, i] * others).sum())))
    return chances
