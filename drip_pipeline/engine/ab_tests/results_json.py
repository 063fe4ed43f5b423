"""Converting results to plain dicts and lists, for `--json` and Dagster metadata; formats only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drip_pipeline.db.ab_tests.decisions import StoredDecision
from drip_pipeline.engine.ab_tests.counts import VariantSpec
from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.experiments import ReportEstimates, as_item
from drip_pipeline.experiments import report_estimates as report_estimates
from drip_pipeline.experiments.rates import VariantRates, variant_rates

TOTALS = (
    "total_assigned",
    "total_sent",
    "total_delivered",
    "total_opened",
    "total_clicked",
    "total_replied",
    "total_converted",
    "total_unsubscribed",
    "total_bounced",
    "total_complained",
    "total_machine_opened",
    "total_machine_clicked",
)
FROZEN = ("p_value", "confidence_level", "is_statistically_significant", "is_winner")


def as_json(results: Sequence[SplitResults]) -> dict[str, Any]:
    """Return the first test (running, or decided last), with the others as `other_tests`."""
    first, *others = results
    return test_json(first) | {"other_tests": [test_json(other) for other in others]}


def test_json(results: SplitResults) -> dict[str, Any]:
    """Return one test. Rates and `relative` in percent, differences in percentage points."""
    experiment, item = results.experiment, as_item(results.verdict)
    estimates = report_estimates(results.test, results.verdict)
    remaining = results.remaining()
    return {
        "campaign_id": experiment.campaign_id,
        "campaign": results.campaign.name,
        "test_id": experiment.test_id,
        "test_number": experiment.test_number,
        "split_node_id": experiment.split_node_id,
        "status": experiment.status,
        "started_at": experiment.started_at,
        "ended_at": experiment.ended_at,
        "winner_metric": experiment.statistics.winner_metric.value,
        "decision_method": experiment.statistics.decision_method.value,
        "confidence_threshold": experiment.statistics.confidence_threshold,
        "minimum_sample_size": experiment.statistics.minimum_sample_size,
        "state": results.state,
        "reason": results.reason,
        "explanation": results.explanation(),
        "would_change": results.would_change(),
        "leader": results.verdict.leader,
        "winner": results.winner,
        "variants": [_variant(spec, results, estimates) for spec in experiment.variants],
        "pairs": [
            pair | {"newcombe": more.newcombe, "holm_p": more.holm_p, "fisher_p": more.fisher_p}
            for pair, more in zip(item["pairs"], estimates.pairs, strict=True)
        ],
        "srm": item["srm"],
        "min_expected_cell": item["min_expected_cell"],
        "guardrails": item["guardrails"],
        "holdout": _holdout(results),
        "time_to_decision": remaining
        and {
            "hours": remaining.hours,
            "more_per_variant": remaining.more_per_variant,
            "reason": remaining.reason.value,
        },
        "decision": results.decision and _decision(results.decision),
        "evaluated_at": results.evaluated_at,
    }


def _variant(
    spec: VariantSpec, results: SplitResults, estimates: ReportEstimates
) -> dict[str, object]:
    name = spec.variant_group
    verdict = results.verdict.variant(name)
    estimate = next(e for e in estimates.variants if e.variant_group == name)
    totals = results.totals.get(name)
    return {
        "variant_group": name,
        "name": spec.name,
        "is_holdout": spec.is_holdout,
        "percentage": spec.percentage,
        **{total: getattr(totals, total, 0) for total in TOTALS},
        **rates(results, name)._asdict(),
        **evaluated_columns(results, name),
        "sample": verdict.sample,
        "interval": estimate.interval,
        "chance_to_be_best": estimate.chance_to_be_best,
    }


def rates(results: SplitResults, variant_group: str) -> VariantRates:
    """Return the rates of a variant's totals as of now, in percent."""
    return variant_rates(results.counts_of(variant_group))


def evaluated_columns(results: SplitResults, variant_group: str) -> dict[str, Any]:
    """Return the evaluated columns of a variant: of a running test as of now, of another test as
    frozen.
    """
    row = results.rows.get(variant_group)
    if results.is_running or row is None:
        columns = results.verdict.variant(variant_group).columns()
        return {name: columns[name] for name in FROZEN}
    return {name: getattr(row, name) for name in FROZEN}


def _holdout(results: SplitResults) -> dict[str, object] | None:
    """Return the holdout's totals and the lift of each other variant."""
    spec = next((v for v in results.experiment.variants if v.is_holdout), None)
    if spec is None:
        return None
    totals = results.totals.get(spec.variant_group)
    return {
        "variant_group": spec.variant_group,
        "total_assigned": totals.total_assigned if totals else 0,
        "total_converted": totals.total_converted if totals else 0,
        "conversion_rate": rates(results, spec.variant_group).conversion_rate,
        "metric": "conversion_rate",
        "lifts": [
            {
                "variant_group": lift.variant_group,
                "difference": lift.difference,
                "interval": lift.interval,
                "relative": lift.relative,
                "relative_interval": lift.relative_interval,
                "chi2_p": lift.chi2_p,
                "decision_p": lift.decision_p,
                "partly_unsent": lift.partly_unsent,
                "reason": lift.reason and lift.reason.value,
            }
            for lift in results.lifts
        ],
    }


def _decision(decision: StoredDecision) -> dict[str, object]:
    return {
        "outcome": decision.outcome,
        "winner_variant": decision.winner_variant,
        "decided_by": decision.decided_by,
        "reason": decision.reason,
        "is_by_hand": decision.is_by_hand,
        "decided_at": decision.decided_at,
        "evaluation_id": decision.evaluation_id,
    }
