"""The one registry of winner metrics and guardrails, and how a count becomes a rate.

Rates are percentages of `total_sent`, rounded half up to two places in exact integer arithmetic.
Tests of significance are elsewhere; nothing here is an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from drip_pipeline.domain.definition.ab_test import Guardrail, Metric
from drip_pipeline.experiments.codes import Reason


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """Where a metric is counted and what people call it. `count_field` is a field of
    `VariantCounts`.
    """

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
    """Where a guardrail is counted, what people call it, and the reason code when it blocks."""

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

# 0.00 … 100.00 made once: a hundred thousand rates a minute are looked up, not divided.
_PERCENT_OF_HUNDREDTHS = tuple(Decimal(i).scaleb(-2) for i in range(10_001))


def percent_of_hundredths(hundredths: int) -> Decimal:
    """A percentage with two places from its hundredths, 0 … 10,000 (1234 → 12.34)."""
    return _PERCENT_OF_HUNDREDTHS[hundredths]


def rate_pct(count: int, total: int) -> Decimal | None:
    """100·count/total, rounded half up to two places (1/800 → 0.13).

    None when total is 0 (there is no rate) or count lies outside 0 … total (a data error, not a
    rate over 100).
    """
    if total <= 0 or not 0 <= count <= total:
        return None
    return _PERCENT_OF_HUNDREDTHS[(20_000 * count + total) // (2 * total)]


def engagement_score_pct(opened: int, clicked: int, replied: int, sent: int) -> Decimal | None:
    """0.3·open rate + 0.4·click rate + 0.3·reply rate, from the unrounded counts, rounded half up
    to two places.

    None under the same conditions as `rate_pct`, for any of the three counts.
    """
    if sent <= 0 or not (0 <= opened <= sent and 0 <= clicked <= sent and 0 <= replied <= sent):
        return None
    # 10,000 hundredths · (3o + 4c + 3r) / (10·n), kept in integers so that a half is a half.
    tenths = 3 * opened + 4 * clicked + 3 * replied
    return _PERCENT_OF_HUNDREDTHS[(2_000 * tenths + sent) // (2 * sent)]


def engagement_score_from_sums_pct(score_sum: float | Decimal, sent: int) -> Decimal | None:
    """The same figure from per-contact scores (0.3·opened + 0.4·clicked + 0.3·replied, each 0 or
    1): 100·Σs/n.

    None when sent is 0 or the sum lies outside 0 … sent.
    """
    millionths = score_millionths(score_sum)
    if sent <= 0 or not 0 <= millionths <= sent * 1_000_000:
        return None
    total = sent * 1_000_000
    return _PERCENT_OF_HUNDREDTHS[(20_000 * millionths + total) // (2 * total)]


def score_millionths(score_sum: float | Decimal) -> int:
    """A sum of scores as an integer, so that ties are exact. Scores are tenths; the rest of a float
    is summation noise.
    """
    return round(score_sum * 1_000_000)


def click_to_open_pct(clicked: int, opened: int) -> Decimal | None:
    """Clicks per open, a figure of its own, never the click rate. None when clicks outnumber opens
    (images were off).
    """
    return rate_pct(clicked, opened)
