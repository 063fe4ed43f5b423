"""Estimates for planning: how many contacts a test needs, and how long it may still take.

They assume that the future continues like the past; no decision is based on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from drip_pipeline.domain.definition.ab_test import ABTestConfig, DecisionMethod
from drip_pipeline.experiments.chi_square import chi_square_p
from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.counts import ABTest
from drip_pipeline.experiments.sequential import (
    always_valid_multiplier,
    always_valid_p,
    mixture_variance,
    planned_boundary,
    planned_p,
    planned_progress,
)
from drip_pipeline.experiments.verdict import Verdict

# Beyond this multiple of the present sample an estimate is not useful: there is hardly any lead.
FURTHEST_FACTOR = 10_000.0


def sample_size_per_variant(
    baseline_pct: float,
    lift_points: float,
    *,
    method: DecisionMethod = DecisionMethod.ALWAYS_VALID,
    confidence_threshold: float = 95.0,
    power: float = 0.8,
    minimum_sample_size: int = 100,
) -> int:
    """Return the contacts that each of two equal variants needs to show `lift_points` (percentage
    points, either sign) over a baseline rate.

    With one look: (z_α·√(2·p̄·q̄) + z_β·√(p₁q₁ + p₂q₂))² / d². `planned`: that multiplied by the
    price of continuous looks. `always_valid`: the sample at which the bound is exceeded with this
    power; this ignores earlier crossings and so errs upwards. Raises ValueError if a rate is
    outside 0 … 100, the lift is 0 or power is outside 0 … 1.
    """
    from scipy import special

    before, after = baseline_pct / 100, (baseline_pct + lift_points) / 100
    if not (0 <= before <= 1 and 0 <= after <= 1) or before == after or not 0 < power < 1:
        raise ValueError("rates lie between 0 and 100, differ, and power lies between 0 and 1")
    alpha = (100 - confidence_threshold) / 100
    mean = (before + after) / 2
    under_null = math.sqrt(2 * mean * (1 - mean))
    under_effect = math.sqrt(before * (1 - before) + after * (1 - after))
    z_power = float(special.ndtri(power))
    distance = abs(after - before)

    def one_look(bound: float) -> float:
        return ((bound * under_null + z_power * under_effect) / distance) ** 2

    single = float(special.ndtri(1 - alpha / 2))
    if method is DecisionMethod.FIXED_HORIZON:
        return math.ceil(one_look(single))
    if method is DecisionMethod.PLANNED:
        price = (_planned_drift(planned_boundary(alpha), power) / (single + z_power)) ** 2
        return math.ceil(one_look(single) * price)
    per_contact = float(mixture_variance(alpha, minimum_sample_size))

    def enough(n: float) -> bool:
        return n >= one_look(float(always_valid_multiplier(2 * n * per_contact, alpha)))

    return math.ceil(_smallest(enough, one_look(single), 1e15))


@dataclass(frozen=True, slots=True)
class TimeToDecision:
    """Hours from now and additional contacts in the smallest variant until a decision of either
    kind, at the present pace. None with the reason if there is no estimate.
    """

    hours: float | None
    more_per_variant: int | None
    reason: Reason


def time_to_decision(test: ABTest, verdict: Verdict) -> TimeToDecision:
    """Estimate when the present lead, if it is real, decides the test; 0 hours once decided."""
    if verdict.state.is_terminal:
        return TimeToDecision(0.0, 0, verdict.reason)
    smallest = verdict.progress.smallest_sample
    factors = [_gates_factor(verdict), _evidence_factor(test, verdict)]
    factor = None if None in factors else max(f for f in factors if f is not None)
    more = None if factor is None else max(0, math.ceil((factor - 1) * smallest))
    hours = None
    passed = test.runtime_hours
    if passed is not None:
        if factor is not None and passed > 0:
            hours = max((factor - 1) * passed, test.config.minimum_runtime_hours - passed, 0.0)
        if test.config.max_duration_hours is not None:
            left = max(0.0, test.config.max_duration_hours - passed)
            hours = left if hours is None else min(hours, left)
    return TimeToDecision(hours, more, verdict.reason)


def _gates_factor(verdict: Verdict) -> float | None:
    """Return the multiple of the present sample that meets the requirements of sample and expected
    cell; None without a sample.
    """
    progress = verdict.progress
    if progress.smallest_sample <= 0:
        return None
    factors = [1.0, progress.needed_sample / progress.smallest_sample]
    if progress.needed_cell > 0:
        if not progress.min_expected_cell:
            return None
        factors.append(progress.needed_cell / progress.min_expected_cell)
    return max(factors)


def _evidence_factor(test: ABTest, verdict: Verdict) -> float | None:
    """Return the multiple of the present sample with which the leader beats all others, or the plan
    ends; None beyond FURTHEST_FACTOR.
    """
    config = test.config
    if config.decision_method is DecisionMethod.FIXED_HORIZON:
        planned = config.planned_sample_size or 0
        smallest = verdict.progress.smallest_sample
        return max(1.0, planned / smallest) if smallest > 0 else None
    rivals = [p for p in verdict.pairs if verdict.leader in (p.a, p.b)]
    contacts = {name: counts.contacts for name, counts in test.tested().items()}
    factors = [
        _pair_factor(config, pair.chi2, contacts[pair.a], contacts[pair.b]) for pair in rivals
    ]
    if not factors or None in factors:
        return None
    return max(f for f in factors if f is not None)


def _pair_factor(config: ABTestConfig, chi2: float | None, n_a: int, n_b: int) -> float | None:
    """Return the multiple of a pair's contacts that decides it if χ² grows in proportion; for a
    plan at most its end. None beyond FURTHEST_FACTOR.
    """
    if chi2 is None or n_a <= 0 or n_b <= 0:
        return None
    square = chi2
    per_contact = mixture_variance(config.alpha, config.minimum_sample_size)
    is_planned = config.decision_method is DecisionMethod.PLANNED
    now = float(planned_progress(n_a, n_b, config.planned_sample_size or 1))

    def decided(factor: float) -> bool:
        grown = square * factor
        if is_planned:
            p = float(planned_p(grown, factor * now))
        else:
            p = float(always_valid_p(grown, per_contact * (n_a + n_b) * factor))
        return max(p, float(chi_square_p(grown, 1))) <= config.alpha

    last = max(1.0, 1 / now) if is_planned else FURTHEST_FACTOR
    factor = _smallest(decided, 1.0, last)
    return None if factor >= FURTHEST_FACTOR else factor


def _planned_drift(bound: float, power: float) -> float:
    """Return the drift θ with which a Brownian motion exceeds `bound` before time 1 with
    probability `power`: Φ(θ − b) + exp(2θb)·Φ(−b − θ).
    """
    from scipy import optimize, special

    def missing(theta: float) -> float:
        reflected = math.exp(2 * theta * bound + float(special.log_ndtr(-bound - theta)))
        return float(special.ndtr(theta - bound)) + reflected - power

    return float(optimize.brentq(missing, 0.0, 40.0))


def _smallest(enough: Callable[[float], bool], low: float, high: float) -> float:
    """Return the smallest x in [low, high] from which `enough` holds, to a relative 1e−9; high if
    it never holds.
    """
    if enough(low):
        return low
    step = low
    while not enough(step):
        if step >= high:
            return high
        low, step = step, min(2 * step, high)
    high = step
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
