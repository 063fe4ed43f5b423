"""The gates before a decision and the end after which none comes: sample, expected cell, runtime,
horizon, plan and maximum duration. What is significant is `weigh.py`."""

from __future__ import annotations

from collections.abc import Mapping

from drip_pipeline.domain.definition.ab_test import DecisionMethod
from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.comparisons import Comparison
from drip_pipeline.experiments.counts import ABTest, CohortCounts
from drip_pipeline.experiments.verdict import SampleProgress


def is_exhausted(test: ABTest, found: Comparison) -> bool:
    """The planned sample or the maximum duration is used up."""
    config = test.config
    overdue = (
        config.max_duration_hours is not None
        and test.runtime_hours is not None
        and test.runtime_hours >= config.max_duration_hours
    )
    return overdue or found.plan_complete


def progress_of(
    test: ABTest, found: Comparison | None, tested: Mapping[str, CohortCounts]
) -> SampleProgress:
    """How far the gates are; without a comparison the expected cell is unknown."""
    config = test.config
    samples = [tested[v.variant_group].contacts for v in test.competing]
    return SampleProgress(
        smallest_sample=min(samples, default=0),
        needed_sample=config.minimum_sample_size,
        min_expected_cell=found.min_expected_cell if found else None,
        needed_cell=config.min_expected_cell,
        runtime_hours=test.runtime_hours,
        needed_hours=config.minimum_runtime_hours,
    )


def shortfall_of(test: ABTest, found: Comparison, progress: SampleProgress) -> Reason | None:
    """Which gate is still closed, the most telling first; None when all are open."""
    if progress.smallest_sample <= 0:
        return Reason.EMPTY_VARIANT
    if progress.smallest_sample < progress.needed_sample:
        return Reason.SAMPLE_TOO_SMALL
    if (progress.min_expected_cell or 0.0) < progress.needed_cell:
        return found.p_value_reason or Reason.EXPECTED_CELL_TOO_SMALL
    if progress.needed_hours > 0:
        if progress.runtime_hours is None:
            return Reason.RUNTIME_UNKNOWN
        if progress.runtime_hours < progress.needed_hours:
            return Reason.RUNTIME_TOO_SHORT
    return None


def is_before_horizon(test: ABTest, found: Comparison) -> bool:
    """A fixed horizon decides nothing before its one look; only the maximum duration may end it."""
    is_fixed = test.config.decision_method is DecisionMethod.FIXED_HORIZON
    return is_fixed and not found.plan_complete
