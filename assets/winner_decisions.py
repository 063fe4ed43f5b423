"""Which tests are over, and how each ended: the decisions that the latest evaluations call for are
taken, each in a transaction of its own, and the first one stands.
"""

from time import perf_counter

import dagster as dg

from assets.ab_test_results import EvaluationConfig, ab_test_results
from drip_pipeline.engine.ab_tests.decide import decide
from drip_pipeline.orchestration.campaign_selection import campaign_ids
from drip_pipeline.orchestration.catalog import EXPERIMENTS, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.ab_tests import decided_metadata, seconds
from drip_pipeline.orchestration.resources import EngineResource, RunClock


@dg.asset(
    deps=[ab_test_results],
    group_name=EXPERIMENTS,
    description="One row per decided test: winner, reason, who decided, and the evaluation it "
    "rests on. From then on everybody who reaches the split goes to the winner.",
    owners=OWNERS,
    kinds={"postgres", "python"},
    pool="ab_evaluation",
    retry_policy=RETRY_POLICY,
    metadata={
        **stored_in("campaign_ab_decisions"),
        **written_by(
            deciding="drip_pipeline/engine/ab_tests/decide.py", rows="sql/queries/ab_tests.sql"
        ),
    },
)
def winner_decisions(
    config: EvaluationConfig, engine: EngineResource, clock: RunClock
) -> dg.MaterializeResult[None]:
    """Take the decisions that are due."""
    began = perf_counter()
    with translate_errors("deciding"):
        chosen = campaign_ids(engine.database, config.campaign)
        taken = decide(engine.database, chosen, now=clock.moment())
    metadata = decided_metadata(engine.database, taken)
    metadata["duration_seconds"] = seconds(perf_counter() - began)
    return dg.MaterializeResult(metadata=metadata)
