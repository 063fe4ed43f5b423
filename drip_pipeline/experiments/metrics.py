"""The registry of winner metrics and guardrails: which counts they use and what they are called.

How a count becomes a rate is `rates.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from drip_pipeline.domain.definition.ab_test import Guardrail, Metric
from drip_pipeline.experiments.codes import Reason


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """The count and the name of a metric. `count_field` is a field of `VariantCounts`."""

    count_field: str
    noun: str


METRICS: Mapping[Metric, MetricSpec] = MappingProxyType(
    {
        Metric.OPEN_RATE: MetricSpec("total_opened", "open rate"),
        Metric.CLICK_RATE: MetricSpec("total_clicked", "click rate"),
        Metric.REPLY_RATE: MetricSpec("total_replied", "reply rate"),
        Metric.CONVERSION_RATE: MetricSpec("total_converted", "conversion rate"),
        Metric.ENGAGEMENT_SCORE: MetricSpec("score_sum", "engagement score"),
    }
)


@dataclass(frozen=True, slots=True)
class GuardrailSpec:
    """The count and the name of a guardrail, and the reason code if it blocks."""

    count_field: str
    noun: str
    worse: Reason


GUARDRAILS: Mapping[Guardrail, GuardrailSpec] = MappingProxyType(
    {
        Guardrail.UNSUBSCRIBES: GuardrailSpec(
            "total_unsubscribed", "unsubscribe rate", Reason.UNSUBSCRIBES_WORSE
        ),
        Guardrail.BOUNCES: GuardrailSpec("total_bounced", "bounce rate", Reason.BOUNCES_WORSE),
        Guardrail.COMPLAINTS: GuardrailSpec(
            "total_complained", "complaint rate", Reason.COMPLAINTS_WORSE
        ),
    }
)
