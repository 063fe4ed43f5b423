"""Decisions of A/B tests, made as the latest evaluations require.

Each decision has a transaction of its own. The first decision of a test is final.
"""

from time import perf_counter

import dagster as dg

from assets.ab_test_results import EvaluationConfig, ab_test_results
from drip_pipeline.engine.ab_tests.decide import decide
from drip_pipeline.orchestration.campaign_selection import campaign_ids
from drip_pipeline.orchestration.catalog import EXPERIMENTS, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.ab_tests import WINNER_DECISIONS, decided_metadata
from drip_pipeline.orchestration.metadata.common import seconds
from drip_pipeline.orchestration.resources import EngineResource, RunClock


@dg.asset(
    key=WINNER_DECISIONS,
    deps=[ab_test_results],
    group_name=EXPERIMENTS,
    description="One row for each decided test: winner, reason, decided by, and the evaluation "
    "that it is based on. From then on all contacts that reach the split are assigned to the "
    "winner.",
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
    """Make the decisions that are due."""
    began = perf_counter()
    with translate_errors("deciding A/B tests"):
        selected = campaign_ids(engine.database, config.campaign)
        decisions = decide(engine.database, selected, now=clock.current())
    metadata = decided_metadata(engine.database, decisions)
    metadata["duration_seconds"] = seconds(perf_counter() - began)
    return dg.MaterializeResult(metadata=metadata)
