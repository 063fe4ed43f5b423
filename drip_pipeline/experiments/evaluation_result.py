"""Converting a verdict to plain dicts and lists for JSON."""

from __future__ import annotations

from typing import Any

from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.explain import explain, what_would_change
from drip_pipeline.experiments.verdict import (
    HoldoutLift,
    Interval,
    PairResult,
    VariantResult,
    Verdict,
)


def as_item(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as an item of the evaluation's result."""
    return {
        "state": verdict.state.value,
        "reason": verdict.reason.value,
        "subject": verdict.subject,
        "srm": {
            "chi2": verdict.srm.chi2,
            "chi2_p": verdict.srm.chi2_p,
            "sequential_p": verdict.srm.sequential_p,
            "reason": _code(verdict.srm.reason),
        },
        "min_expected_cell": verdict.min_expected_cell,
        "leader": verdict.leader,
        "winner": verdict.winner,
        "variants": [_variant_item(v) for v in verdict.variants],
        "pairs": [_pair_item(p) for p in verdict.pairs],
        "holdout_lift": [_lift_item(lift) for lift in verdict.holdout_lifts],
        "guardrails": [
            {
                "guardrail": g.guardrail.value,
                "leader": g.leader,
                "runner_up": g.runner_up,
                "p": g.p,
                "is_worse": g.is_worse,
            }
            for g in verdict.guardrails
        ],
        "explanation": explain(verdict),
        "would_change": what_would_change(verdict),
    }


def _variant_item(variant: VariantResult) -> dict[str, object]:
    rates = {
        name: None if value is None else str(value)
        for name, value in variant.columns().items()
        if name.endswith(("_rate", "_score"))
    }
    return {
        "variant_group": variant.variant_group,
        "holdout": variant.is_holdout,
        **rates,
        "p_value": None if variant.p_value is None else float(variant.p_value),
        "confidence_level": float(variant.confidence_level),
        "is_statistically_significant": variant.is_statistically_significant,
        "is_winner": variant.is_winner,
    }


def _pair_item(pair: PairResult) -> dict[str, object]:
    return {
        "a": pair.a,
        "b": pair.b,
        "chi2": pair.chi2,
        "chi2_p": pair.chi2_p,
        "decision_p": pair.decision_p,
        "interval": _listed(pair.interval),
        "reason": _code(pair.reason),
    }


def _lift_item(lift: HoldoutLift) -> dict[str, object]:
    return {
        "variant_group": lift.variant_group,
        "difference": lift.difference,
        "interval": _listed(lift.interval),
        "relative": lift.relative,
        "relative_interval": None
        if lift.relative_interval is None
        else list(lift.relative_interval),
        "chi2_p": lift.chi2_p,
        "decision_p": lift.decision_p,
        "partly_unsent": lift.partly_unsent,
        "reason": _code(lift.reason),
    }


def _code(reason: Reason | None) -> str | None:
    return None if reason is None else reason.value


def _listed(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)
