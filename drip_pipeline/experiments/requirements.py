"""The requirements of a decision (sample, expected cell, runtime, horizon) and the end of a test
(plan, maximum duration). Significance is `build_verdict.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from drip_pipeline.domain.definition.ab_test import DecisionMethod
from drip_pipeline.experiments.codes import Reason
from drip_pipeline.experiments.comparisons import VariantComparison
from drip_pipeline.experiments.counts import ABTest, CohortCounts
from drip_pipeline.experiments.verdict import SampleProgress


def is_exhausted(test: ABTest, comparison: VariantComparison) -> bool:
    """Return True if the planned sample or the maximum duration is reached."""
    config = test.config
    overdue = (
        config.max_duration_hours is not None
        and test.runtime_hours is not None
        and test.runtime_hours >= config.max_duration_hours
    )
    return overdue or comparison.plan_complete


def measure_progress(
    test: ABTest, comparison: VariantComparison | None, tested: Mapping[str, CohortCounts]
) -> SampleProgress:
    """Measure the progress towards each requirement; without a comparison the expected cell is
    unknown.
    """
    config = test.config
    samples = [tested[v.variant_group].contacts for v in test.competing]
    return SampleProgress(
        smallest_sample=min(samples, default=0),
        needed_sample=config.minimum_sample_size,
        min_expected_cell=comparison.min_expected_cell if comparison else None,
        needed_cell=config.min_expected_cell,
        runtime_hours=test.runtime_hours,
        needed_hours=config.minimum_runtime_hours,
    )


def find_shortfall(
    test: ABTest, comparison: VariantComparison, progress: SampleProgress
) -> Reason | None:
    """Return the first requirement that is not met, the most informative first; None if all are."""
    if progress.smallest_sample <= 0:
        return Reason.EMPTY_VARIANT
    if progress.smallest_sample < progress.needed_sample:
        return Reason.SAMPLE_TOO_SMALL
    if (progress.min_expected_cell or 0.0) < progress.needed_cell:
        return comparison.p_value_reason or Reason.EXPECTED_CELL_TOO_SMALL
    if progress.needed_hours > 0:
        if progress.runtime_hours is None:
            return Reason.RUNTIME_UNKNOWN
        if progress.runtime_hours < progress.needed_hours:
            return Reason.RUNTIME_TOO_SHORT
    return None


def is_before_horizon(test: ABTest, comparison: VariantComparison) -> bool:
    """Return True if a fixed-horizon test has not reached its only look yet. Before that look only
    the maximum duration can end it.
    """
    is_fixed = test.config.decision_method is DecisionMethod.FIXED_HORIZON
    return is_fixed and not comparison.plan_complete
