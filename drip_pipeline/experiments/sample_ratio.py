"""Sample-ratio mismatch: whether the contacts assigned to the variants have the expected split.

The chi-square is reported; the sequential Dirichlet-multinomial p blocks, because it is computed
every minute. Vectorized over tests with the same number of groups.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from drip_pipeline.experiments.chi_square import Floats, chi_square_p, floats, sum_columns
from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.counts import ABTest
from drip_pipeline.experiments.verdict import SampleRatio

# The prior's weight in contacts: large enough to expect the configured split, small compared with
# any real test.
PRIOR_CONTACTS = 100.0


def ratio_chi_square(assigned: ArrayLike, shares: ArrayLike) -> Floats:
    """Return the goodness-of-fit χ² of counts (…, K) against shares (…, K) that sum to 1; K − 1
    degrees of freedom. NaN without contacts.

    A share of 0 adds nothing if its count is 0, otherwise it makes χ² infinite.
    """
    counts, theta = floats(assigned), floats(shares)
    expected = theta * sum_columns(counts)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((expected == 0) & (counts == 0), 0.0, (counts - expected) ** 2 / expected)
    return np.where(sum_columns(counts) > 0, sum_columns(terms), np.nan)


def sequential_ratio_p(assigned: ArrayLike, shares: ArrayLike) -> Floats:
    """Return min(1, 1/e), ln e = ln B(a + c) − ln B(a) − Σ c·ln θ, a = 100·θ (Lindon and Malek,
    2020). NaN without contacts.

    Valid at every look: under the expected split it ever falls below x with probability at most x.
    """
    from scipy import special

    counts, theta = floats(assigned), floats(shares)
    prior = PRIOR_CONTACTS * theta
    total = sum_columns(counts)
    used = theta > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (
            floats(special.gammaln(prior + counts))
            - floats(special.gammaln(prior))
            - counts * np.log(theta)
        )
        log_e = (
            sum_columns(np.where(used, terms, 0.0))
            - floats(special.gammaln(PRIOR_CONTACTS + total))
            + float(special.gammaln(PRIOR_CONTACTS))
        )
    impossible = (~used & (counts > 0)).any(axis=-1)
    p = np.where(impossible, 0.0, np.exp(np.minimum(-log_e, 0.0)))
    return np.where(total > 0, p, np.nan)


def configured_shares(test: ABTest) -> tuple[float, ...] | None:
    """Return the configured share of each variant (holdout included, in the given order), None if
    unknown.

    A holdout without a weight has `holdout_percentage` of the contacts, and the others share the
    rest.
    """
    weights = [v.weight for v in test.variants]
    held_out = test.config.holdout_percentage / 100
    holdout = test.holdout
    derived = holdout is not None and holdout.weight is None and held_out > 0
    stated = [w for w in weights if w is not None]
    if len(stated) < len(weights) - derived or min(stated, default=-1.0) < 0:
        return None
    if not 0 < sum(stated) < math.inf:
        return None
    rest = (1 - held_out if derived else 1.0) / sum(stated)
    return tuple(held_out if w is None else w * rest for w in weights)


def sample_ratios(tests: Sequence[ABTest | None]) -> list[SampleRatio]:
    """Check the sample ratio of each test, in the order of `tests`; None stands for a test with
    impossible counts. Tests with the same number of groups are computed together.
    """
    by_size: dict[int, list[tuple[int, list[int], tuple[float, ...]]]] = defaultdict(list)
    results: dict[int, SampleRatio] = {}
    for position, test in enumerate(tests):
        if test is None:
            results[position] = SampleRatio(None, None, None)
            continue
        assigned = [v.assigned for v in test.variants if v.assigned is not None]
        shares = configured_shares(test)
        if len(assigned) < len(test.variants) or not assigned:
            results[position] = _unknown(Reason.ASSIGNED_UNKNOWN)
        elif shares is None:
            results[position] = _unknown(Reason.WEIGHTS_UNKNOWN)
        elif sum(assigned) == 0:
            results[position] = _unknown(Reason.NOBODY_ASSIGNED)
        else:
            by_size[len(assigned)].append((position, assigned, shares))
    for size, rows in by_size.items():
        counts, theta = floats([c for _, c, _ in rows]), floats([s for *_, s in rows])
        chi2 = ratio_chi_square(counts, theta)
        checks = zip(
            rows,
            chi2.tolist(),
            chi_square_p(chi2, max(1, size - 1)).tolist(),
            sequential_ratio_p(counts, theta).tolist(),
            strict=True,
        )
        for (position, *_), statistic, p, sequential in checks:
            # Contacts in a variant with share 0 have no finite chi-square to store.
            shown = statistic if statistic < float("inf") else None
            results[position] = SampleRatio(shown, p, sequential)
    return [results[i] for i in range(len(tests))]


def _unknown(reason: Reason) -> SampleRatio:
    return SampleRatio(None, None, None, reason)
