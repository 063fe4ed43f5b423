"""Results of running A/B tests: counts and verdicts, in the specification's table.

An evaluation that differs from the last one is appended to the history.
"""

from time import perf_counter

import dagster as dg
from pydantic import Field

from drip_pipeline.engine.ab_tests.judge import evaluate
from drip_pipeline.orchestration.automation import DAILY
from drip_pipeline.orchestration.campaign_selection import campaign_ids
from drip_pipeline.orchestration.catalog import EXPERIMENTS, OWNERS, stored_in, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.ab_tests import evaluated_metadata
from drip_pipeline.orchestration.metadata.common import seconds
from drip_pipeline.orchestration.metadata.run import MESSAGE_OUTCOMES
from drip_pipeline.orchestration.resources import EngineResource, RunClock


class EvaluationConfig(dg.Config):
    """The tests to evaluate."""

    campaign: str | None = Field(
        default=None, description="Only the tests of this campaign (id or exact name)."
    )


@dg.asset(
    deps=[MESSAGE_OUTCOMES],
    group_name=EXPERIMENTS,
    description="Counts and verdict of each variant, one row per test and variant. Changed tests "
    "are counted again, all running tests are evaluated in one call, and an evaluation that "
    "differs from the last one is stored with its inputs.",
    owners=OWNERS,
    kinds={"postgres", "python"},
    pool="ab_evaluation",
    freshness_policy=DAILY,
    retry_policy=RETRY_POLICY,
    metadata={
        **stored_in("campaign_ab_test_results"),
        **written_by(
            counting="sql/functions/count_ab_test_variants.sql",
            evaluation="drip_pipeline/engine/ab_tests/judge.py",
        ),
    },
)
def ab_test_results(
    context: dg.AssetExecutionContext,
    config: EvaluationConfig,
    engine: EngineResource,
    clock: RunClock,
) -> dg.MaterializeResult[None]:
    """Count changed tests and evaluate all running ones."""
    began = perf_counter()
    with translate_errors("evaluating A/B tests"):
        selected = campaign_ids(engine.database, config.campaign)
        report = evaluate(engine.database, selected, now=clock.current(), run_id=context.run.run_id)
    metadata = evaluated_metadata(engine.database, report)
    metadata["duration_seconds"] = seconds(perf_counter() - began)
    return dg.MaterializeResult(metadata=metadata)
