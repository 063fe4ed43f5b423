"""Results of the asset checks: whether an invariant holds, and a sample of the violations."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from drip_pipeline.engine.metrics.daily_metrics import WaitingDay
from drip_pipeline.engine.operations.invariants import InvariantResult
from drip_pipeline.orchestration.metadata.common import Metadata, table


def freshness_result(days: Sequence[WaitingDay]) -> dg.AssetCheckResult:
    """Return whether no day has been waiting too long to be computed; failing is a warning."""
    late = [day for day in days if day.is_late]
    return dg.AssetCheckResult(
        passed=not late,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(late):,} days have been stale for more than an hour"
        if late
        else "no day has been stale for long",
        metadata={
            "days_waiting": len(days),
            "late": table({"day": day.day, "since": day.marked_at} for day in late),
        },
    )


def invariant_result(result: InvariantResult) -> dg.AssetCheckResult:
    """Return the result of an invariant, with a sample if it is violated."""
    state = f"{result.violations:,} violations" if result.violations else "holds"
    metadata: Metadata = {"violations": result.violations}
    if result.sample:
        metadata["sample"] = table(result.sample)
    return dg.AssetCheckResult(
        passed=result.holds,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{result.meaning}: {state}",
        metadata=metadata,
    )


def check_evaluation(asset: dg.AssetKey, result: InvariantResult) -> dg.AssetCheckEvaluation:
    """Return the result of an invariant for a check that was not run by a run of its own."""
    checked = invariant_result(result)
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=result.name,
        passed=checked.passed,
        severity=checked.severity,
        description=checked.description,
        metadata=checked.metadata,
    )
