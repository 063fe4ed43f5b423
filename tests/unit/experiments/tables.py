"""Tests to judge, named after what is in them."""

from __future__ import annotations

from typing import Any

from drip_pipeline.experiments import ABTest, ABTestConfig, VariantCounts


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
    return ABTest(tuple(variants), ABTestConfig.from_mapping(config), **facts)


def opens(*pairs: tuple[int, int], **config: Any) -> ABTest:
    """Variants a, b, c … with (opened, sent) each."""
    return a_test_of(
        *(counted("abcdefgh"[i], n, opened=x) for i, (x, n) in enumerate(pairs)), **config
    )
