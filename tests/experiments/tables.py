"""Inputs of evaluations, named after their content."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from drip_pipeline.experiments import ABTest, VariantCounts, read_test_config


def counted(name: str, sent: int, **totals: Any) -> VariantCounts:
    """A variant whose people were all delivered to; totals by their short names (opened=…)."""
    counts = {
        key if key in VariantCounts.__dataclass_fields__ else f"total_{key}": value
        for key, value in totals.items()
    }
    return VariantCounts(name, sent, **{"total_delivered": sent, **counts})


def a_test_of(*variants: VariantCounts, **config: Any) -> ABTest:
    """A test of open rates unless the configuration says otherwise; run-time facts go to the test
    itself.
    """
    facts = {k: config.pop(k) for k in ("runtime_hours", "srm_hold", "decided") if k in config}
    return ABTest(tuple(variants), read_test_config(config), **facts)


def opens(*pairs: tuple[int, int], **config: Any) -> ABTest:
    """Variants a, b, c … with (opened, sent) each."""
    return a_test_of(
        *(counted("abcdefgh"[i], n, opened=x) for i, (x, n) in enumerate(pairs)), **config
    )


def scored(name: str, sent: int, opened: int, clicked: int, replied: int) -> VariantCounts:
    """A variant in which nobody does two things, so that the sums of scores follow from the
    counts.
    """
    return replace(
        counted(name, sent, opened=opened, clicked=clicked, replied=replied),
        score_sum=Decimal("0.3") * opened + Decimal("0.4") * clicked + Decimal("0.3") * replied,
        score_sum_squares=Decimal("0.09") * opened
        + Decimal("0.16") * clicked
        + Decimal("0.09") * replied,
    )
