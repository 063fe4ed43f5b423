"""The only definition of rates in Python: percentages with two places, rounded half up in exact
integer arithmetic. SQL has the same definition in sql/functions/variant_rates.sql; a test compares
the two.

Significance tests are elsewhere; nothing here is an estimate.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from drip_pipeline.experiments.counts import VariantCounts

# 0.00 … 100.00, created once: 100,000 rates a minute are looked up, not divided.
_PERCENT_OF_HUNDREDTHS = tuple(Decimal(i).scaleb(-2) for i in range(10_001))


class VariantRates(NamedTuple):
    """The six rates of a variant in percent, two places; None if nothing was sent or the counts
    contradict each other.
    """

    delivery_rate: Decimal | None
    open_rate: Decimal | None
    click_rate: Decimal | None
    reply_rate: Decimal | None
    conversion_rate: Decimal | None
    engagement_score: Decimal | None


def variant_rates(variant: VariantCounts) -> VariantRates:
    """Return the rates of a variant's totals. A holdout's rates are over the assigned contacts; it
    has no delivery rate.
    """
    base = variant.base
    opened, clicked, replied = variant.total_opened, variant.total_clicked, variant.total_replied
    return VariantRates(
        delivery_rate=None if variant.is_holdout else rate_pct(variant.total_delivered, base),
        open_rate=rate_pct(opened, base),
        click_rate=rate_pct(clicked, base),
        reply_rate=rate_pct(replied, base),
        conversion_rate=rate_pct(variant.total_converted, base),
        engagement_score=engagement_score_pct(opened, clicked, replied, base),
    )


def rate_pct(count: int, total: int) -> Decimal | None:
    """Return 100·count/total, rounded half up to two places (1/800 → 0.13).

    None if total is 0 (there is no rate) or count is outside 0 … total (a data error, not a rate
    over 100).
    """
    if total <= 0 or not 0 <= count <= total:
        return None
    return _PERCENT_OF_HUNDREDTHS[(20_000 * count + total) // (2 * total)]


def engagement_score_pct(opened: int, clicked: int, replied: int, sent: int) -> Decimal | None:
    """Return 0.3·open rate + 0.4·click rate + 0.3·reply rate, from the unrounded counts, rounded
    half up to two places.

    None under the same conditions as `rate_pct`, for any of the three counts.
    """
    if sent <= 0 or not (0 <= opened <= sent and 0 <= clicked <= sent and 0 <= replied <= sent):
        return None
    # 10,000 hundredths · (3o + 4c + 3r) / (10·n), kept in integers so that a half is a half.
    tenths = 3 * opened + 4 * clicked + 3 * replied
    return _PERCENT_OF_HUNDREDTHS[(2_000 * tenths + sent) // (2 * sent)]


def percent_of_hundredths(hundredths: int) -> Decimal:
    """Return a percentage with two places from its hundredths, 0 … 10,000 (1234 → 12.34)."""
    return _PERCENT_OF_HUNDREDTHS[hundredths]
