"""Asset checks of the invariants of A/B tests.

Checks of counts and evaluations block, so that no decision is made from counts that cannot be true.
"""

import dagster as dg

from assets.ab_test_results import ab_test_results
from assets.winner_decisions import winner_decisions
from drip_pipeline.engine.operations.ab_test_invariants import (
    AB_TEST_INVARIANTS,
    check_ab_test_invariants,
)
from drip_pipeline.engine.operations.invariant_incidents import record_result
from drip_pipeline.orchestration.failures import translate_errors
from drip_pipeline.orchestration.metadata.invariants import invariant_result
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.settings import Settings

ASSET_OF_INVARIANT = {
    "ab_counts": ab_test_results,
    "ab_significance": ab_test_results,
    "ab_pairs": ab_test_results,
    "ab_outcomes": ab_test_results,
    "ab_decisions": winner_decisions,
}
BLOCKING = {"ab_counts", "ab_significance", "ab_pairs", "ab_outcomes"}


def ab_test_check(name: str, asset: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    """Return the check of one invariant."""

    @dg.asset_check(
        name=name,
        asset=asset,
        blocking=name in BLOCKING,
        description=f"{AB_TEST_INVARIANTS[name].capitalize()}.",
    )
    def check(engine: EngineResource, clock: RunClock) -> dg.AssetCheckResult:
        with translate_errors(f"checking {name}"):
            (result,) = check_ab_test_invariants(engine.database, names=(name,))
            record_result(engine.database, Settings.from_env(), result, now=clock.real())
        return invariant_result(result)

    return check


ab_checks = [ab_test_check(name, asset) for name, asset in ASSET_OF_INVARIANT.items()]
