"""Results of a test as plain dicts and lists, for `--json` and for metadata. No figure is computed
here that the results do not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from drip_pipeline.engine.ab_tests.counts import VariantSpec
from drip_pipeline.engine.ab_tests.results import SplitResults
from drip_pipeline.experiments import ReportEstimates, as_item
from drip_pipeline.experiments import report_estimates as report_estimates
from drip_pipeline.experiments.rates import variant_rates

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
    """The first test (the one that runs, or was decided last), with the others beside it."""
    first, *others = results
    return test_json(first) | {"other_tests": [test_json(other) for other in others]}


def test_json(found: SplitResults) -> dict[str, Any]:
    """One test. Rates in percent, differences in percentage points, `relative` in percent."""
    experiment, item = found.experiment, as_item(found.verdict)
    figures = report_estimates(found.test, found.verdict)
    remaining = found.remaining()
    return {
        "campaign_id": experiment.campaign_id,
        "campaign": found.campaign.name,
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
        "state": found.state,
        "reason": found.reason,
        "explanation": found.explanation(),
        "would_change": found.would_change(),
        "leader": found.verdict.leader,
        "winner": found.winner,
        "variants": [_variant(spec, found, figures) for spec in experiment.variants],
        "pairs": [
            pair | {"newcombe": more.newcombe, "holm_p": more.holm_p, "fisher_p": more.fisher_p}
            for pair, more in zip(item["pairs"], figures.pairs, strict=True)
        ],
        "srm": item["srm"],
        "min_expected_cell": item["min_expected_cell"],
        "guardrails": item["guardrails"],
        "holdout": _holdout(found),
        "time_to_decision": remaining
        and {
            "hours": remaining.hours,
            "more_per_variant": remaining.more_per_variant,
            "reason": remaining.reason.value,
        },
        "decision": found.decision and _decision(found.decision),
        "evaluated_at": found.evaluated_at,
    }


def _variant(spec: VariantSpec, found: SplitResults, figures: ReportEstimates) -> dict[str, Any]:
    name = spec.variant_group
    judged = found.verdict.variant(name)
    figure = next(f for f in figures.variants if f.variant_group == name)
    totals = found.totals.get(name, {})
    return {
        "variant_group": name,
        "name": spec.name,
        "is_holdout": spec.is_holdout,
        "percentage": spec.percentage,
        **{total: totals.get(total, 0) for total in TOTALS},
        **rates(found, name),
        **judged_columns(found, name),
        "sample": judged.sample,
        "interval": figure.interval,
        "chance_to_be_best": figure.chance_to_be_best,
    }


def rates(found: SplitResults, variant_group: str) -> dict[str, Decimal | None]:
    """The six rates of a variant's totals as of now, in percent."""
    of = variant_rates(found.counts_of(variant_group))
    return {
        "delivery_rate": of.delivery_rate,
        "open_rate": of.open_rate,
        "click_rate": of.click_rate,
        "reply_rate": of.reply_rate,
        "conversion_rate": of.conversion_rate,
        "engagement_score": of.engagement_score,
    }


def judged_columns(found: SplitResults, variant_group: str) -> dict[str, Any]:
    """What was judged of a variant: of a running test as of now, of another as it was frozen."""
    row = found.rows.get(variant_group)
    if found.is_running or row is None:
        columns = found.verdict.variant(variant_group).columns()
        return {name: columns[name] for name in FROZEN}
    return {name: row[name] for name in FROZEN}


def _holdout(found: SplitResults) -> dict[str, Any] | None:
    """The held-out people, and how much more the others converted."""
    spec = next((v for v in found.experiment.variants if v.is_holdout), None)
    if spec is None:
        return None
    totals = found.totals.get(spec.variant_group, {})
    return {
        "variant_group": spec.variant_group,
        "total_assigned": totals.get("total_assigned", 0),
        "total_converted": totals.get("total_converted", 0),
        "conversion_rate": rates(found, spec.variant_group)["conversion_rate"],
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
            for lift in found.lifts
        ],
    }


def _decision(decision: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("outcome", "winner_variant", "decided_by", "reason", "is_by_hand", "decided_at")
    return {name: decision[name] for name in kept} | {"evaluation_id": decision["evaluation_id"]}
