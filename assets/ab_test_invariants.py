"""The laws of A/B tests as checks on the assets they are about. Where figures cannot be true,
nothing is decided by them: those checks block.
"""

import dagster as dg

from assets.ab_test_results import ab_test_results
from assets.winner_decisions import winner_decisions
from drip_pipeline.engine.operations.ab_test_invariants import AB_LAWS, check_ab_laws
from drip_pipeline.orchestration.failures import errors_told
from drip_pipeline.orchestration.metadata.invariants import law_result
from drip_pipeline.orchestration.resources import EngineResource

ASSET_OF_LAW = {
    "ab_counts": ab_test_results,
    "ab_significance": ab_test_results,
    "ab_pairs": ab_test_results,
    "ab_outcomes": ab_test_results,
    "ab_decisions": winner_decisions,
}
BLOCKING = {"ab_counts", "ab_significance", "ab_pairs", "ab_outcomes"}


def law_check(name: str, asset: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    """The check of one law."""

    @dg.asset_check(
        name=name,
        asset=asset,
        blocking=name in BLOCKING,
        description=f"{AB_LAWS[name].capitalize()}.",
    )
    def check(engine: EngineResource) -> dg.AssetCheckResult:
        with errors_told(f"checking {name}"):
            (found,) = check_ab_laws(engine.database, names=(name,))
        return law_result(found)

    return check


ab_checks = [law_check(name, asset) for name, asset in ASSET_OF_LAW.items()]
