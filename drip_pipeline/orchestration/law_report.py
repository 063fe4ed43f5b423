"""What a checked law shows: whether it holds, how many rows break it, and some of them."""

from __future__ import annotations

import dagster as dg

from drip_pipeline.engine.checks import LawResult
from drip_pipeline.orchestration.metadata import table


def law_result(found: LawResult) -> dg.AssetCheckResult:
    """The result of the check, with a sample where the law is broken."""
    broken = f"{found.violations:,} break it" if found.violations else "it holds"
    return dg.AssetCheckResult(
        passed=found.holds,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{found.meaning}: {broken}",
        metadata={"violations": found.violations}
        | ({"sample": table(found.sample)} if found.sample else {}),
    )
