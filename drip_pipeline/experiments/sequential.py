"""Sequential p-values: a p from a χ² that is valid at every look, and the matching bounds.

`always_valid`: the mixture sequential probability ratio test (normal mixture over the effect).
`planned`: Brownian motion with a constant boundary up to a known sample. Pure arithmetic on arrays;
which pairs are compared is `comparisons.py`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from drip_pipeline.experiments.chi_square import Floats, floats

# The mixture is tuned to be sharpest at this multiple of minimum_sample_size, both groups together.
SHARPEST_AT_MINIMUM_SAMPLES = 20


def mixture_variance(alpha: ArrayLike, minimum_sample_size: ArrayLike) -> Floats:
    """Return ρ² = (−2 ln α + ln(1 − 2 ln α)) / N*, N* = 20·minimum_sample_size. Per contact; ρ²·n
    is the information r.
    """
    log_alpha = np.log(floats(alpha))
    sharpest = SHARPEST_AT_MINIMUM_SAMPLES * floats(minimum_sample_size)
    return floats((-2 * log_alpha + np.log1p(-2 * log_alpha)) / sharpest)


def always_valid_p(chi2: ArrayLike, information: ArrayLike) -> Floats:
    """Return p = min(1, √(1+r)·exp(−χ²·r / (2(1+r)))), r = ρ²·(n_a + n_b). The current value, not
    a running minimum. NaN stays NaN.
    """
    square, r = floats(chi2), floats(information)
    log_p = 0.5 * np.log1p(r) - square * r / (2 * (1 + r))
    return np.exp(np.minimum(log_p, 0.0))


def always_valid_multiplier(information: ArrayLike, alpha: ArrayLike) -> Floats:
    """Return the half-width of an always-valid interval in standard errors:
    √(2(1+r)/r · ln(√(1+r)/α)); infinite at r = 0.
    """
    r = floats(information)
    with np.errstate(divide="ignore"):
        return np.sqrt(2 * (1 + r) / r * (0.5 * np.log1p(r) - np.log(floats(alpha))))


def planned_progress(n_a: ArrayLike, n_b: ArrayLike, planned: ArrayLike) -> Floats:
    """Return the share of a pair's planned information, [4·n_a·n_b/(n_a+n_b)] / (2·planned), not
    capped at 1; 0 without contacts.
    """
    na, nb = floats(n_a), floats(n_b)
    total = na + nb
    harmonic = 4 * na * nb / np.where(total > 0, total, 1.0)
    return harmonic / (2 * floats(planned))


def planned_p(chi2: ArrayLike, progress: ArrayLike) -> Floats:
    """Return P(sup |W(s)|, s ≤ 1, reaches √(χ²·t)), W a Brownian motion, t = min(1, progress). NaN
    stays NaN.

    4·Σ(−1)^k·sf((2k+1)·b) by reflection; below b = 1, where that series converges slowly, the
    equivalent theta-function series.
    """
    from scipy import special

    b = np.sqrt(floats(chi2) * np.minimum(floats(progress), 1.0))
    far, near = np.zeros_like(b), np.zeros_like(b)
    safe = np.maximum(b, 1e-3)  # the theta series is 1 to the last digit here
    for k in range(5):
        odd, sign = 2 * k + 1, (-1) ** k
        far += sign * floats(special.ndtr(-odd * b))
        near += sign / odd * np.exp(-((odd * math.pi) ** 2) / (8 * safe**2))
    p = np.where(b >= 1, 4 * far, 1 - 4 / math.pi * near)
    return np.clip(p, 0.0, 1.0)


@lru_cache(maxsize=256)
def planned_boundary(alpha: float) -> float:
    """Return the b at which `planned_p` equals alpha (2.2414 for 0.05): a pair that reaches it at
    any look differs.
    """
    from scipy import optimize

    def excess(b: float) -> float:
        return float(planned_p(b * b, 1.0)) - alpha

    return float(optimize.brentq(excess, 0.0, 40.0, xtol=1e-12))
