"""Expected arms of an A/B test, and the days until a decision for lifts of 5, 10 and 20 %."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from drip_pipeline.domain.definition.ab_test import ABTestConfig, Metric
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import SplitConfig
from drip_pipeline.engine.simulation.tally import Tally
from drip_pipeline.experiments.planning import sample_size_per_variant

LIFTS: Final = (5, 10, 20)
"""Relative differences of the metric, in percent."""
_HOURS_A_DAY: Final = 24
_EVENTS: Final[Mapping[Metric, str]] = {
    Metric.OPEN_RATE: "email_opened",
    Metric.CLICK_RATE: "email_clicked",
    Metric.REPLY_RATE: "email_replied",
}


@dataclass(frozen=True, slots=True)
class ExpectedDecision:
    """The contacts that each arm needs to show a lift, and when the smallest arm has them.

    `days` is None if it does not have them within the simulated time; `days_at_this_pace` then
    continues at the mean pace so far.
    """

    lift_pct: int
    needed_per_arm: int | None
    days: float | None
    days_at_this_pace: float | None


def expected_test(
    graph: CampaignGraph, test: ABTestConfig | None, split_id: str | None, tally: Tally
) -> dict[str, Any] | None:
    """Return the arms of the tested split and the expected decisions; None without a test."""
    if test is None or split_id is None or split_id not in graph.nodes:
        return None
    config = graph.nodes[split_id].config
    assert isinstance(config, SplitConfig)
    arms = {
        v.id: {
            "contacts": tally.of_variant[split_id, v.id, "contacts"],
            "messages": tally.of_variant[split_id, v.id, "sent"],
            "is_holdout": v.holdout,
        }
        for v in config.variants
    }
    tested = [v.id for v in config.variants if not v.holdout and v.percentage > 0]
    baseline = _baseline(graph, test, split_id, tested, tally)
    decisions = [_decision(test, split_id, tested, tally, baseline, lift) for lift in LIFTS]
    return {
        "split": split_id,
        "metric": test.winner_metric.value,
        "baseline_pct": None if baseline is None else round(baseline, 4),
        "arms": arms,
        "decisions": [
            {
                "lift_pct": each.lift_pct,
                "needed_per_arm": each.needed_per_arm,
                "days": each.days,
                "days_at_this_pace": each.days_at_this_pace,
            }
            for each in decisions
        ],
    }


def _baseline(
    graph: CampaignGraph, test: ABTestConfig, split_id: str, tested: list[str], tally: Tally
) -> float | None:
    """Return the simulated rate of the metric over all arms, in percent; None if it is 0."""
    event = _EVENTS.get(test.winner_metric)
    if event is None and graph.goal_event is not None:
        event = graph.goal_event.event_type
    if event is None:
        return None
    contacts = sum(tally.of_variant[split_id, v, "contacts"] for v in tested)
    events = sum(tally.of_variant[split_id, v, event] for v in tested)
    return 100 * min(1.0, events / contacts) if contacts and events else None


def _decision(
    test: ABTestConfig,
    split_id: str,
    tested: list[str],
    tally: Tally,
    baseline: float | None,
    lift: int,
) -> ExpectedDecision:
    if baseline is None or not tested or baseline * (1 + lift / 100) > 100:
        return ExpectedDecision(lift, None, None, None)
    needed = max(
        test.minimum_sample_size,
        sample_size_per_variant(
            baseline,
            baseline * lift / 100,
            method=test.decision_method,
            confidence_threshold=test.confidence_threshold,
            minimum_sample_size=test.minimum_sample_size,
        ),
    )
    shortest = test.minimum_runtime_hours / _HOURS_A_DAY
    by_hour: dict[int, dict[str, int]] = {}
    for (hour, split, variant), number in tally.assigned.items():
        if split == split_id and variant in tested:
            of_hour = by_hour.setdefault(hour, {})
            of_hour[variant] = of_hour.get(variant, 0) + number
    totals = dict.fromkeys(tested, 0)
    for hour in sorted(by_hour):
        for variant, number in by_hour[hour].items():
            totals[variant] += number
        if min(totals.values()) >= needed:
            reached = (hour + 1) / _HOURS_A_DAY
            return ExpectedDecision(lift, needed, round(max(reached, shortest), 1), None)
    smallest = min(totals.values())
    if not smallest:
        return ExpectedDecision(lift, needed, None, None)
    # At the mean pace of the days on which contacts reached the split, at least one day.
    days = max(1.0, (max(by_hour) + 1) / _HOURS_A_DAY)
    return ExpectedDecision(lift, needed, None, round(max(needed / smallest * days, shortest), 1))
