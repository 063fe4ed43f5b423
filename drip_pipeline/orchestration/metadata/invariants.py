"""What a checked law shows: whether it holds, how many rows break it, and some of them."""

from __future__ import annotations

import dagster as dg

from drip_pipeline.engine.metrics.daily_metrics import WaitingDay
from drip_pipeline.engine.operations.invariants import InvariantResult
from drip_pipeline.orchestration.metadata.common import table


def freshness_result(waiting: list[WaitingDay]) -> dg.AssetCheckResult:
    """Whether figures are fresh: days that wait to be counted, and since when."""
    late = [day for day in waiting if day.is_late]
    told = f"{len(late):,} days wait for more than an hour" if late else "no day waits long"
    return dg.AssetCheckResult(
        passed=not late,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
        metadata={
            "days_waiting": len(waiting),
            "late": table({"day": day.day, "since": day.marked_at} for day in late),
        },
    )


def invariant_result(found: InvariantResult) -> dg.AssetCheckResult:
    """The result of the check, with a sample where the law is broken."""
    broken = f"{found.violations:,} break it" if found.violations else "it holds"
    return dg.AssetCheckResult(
        passed=found.holds,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{found.meaning}: {broken}",
        metadata={"violations": found.violations}
        | ({"sample": table(found.sample)} if found.sample else {}),
    )
