"""Starts the judging of A/B tests when there is something new to count, and now and then where only
time moves a test (a minimum run time, attribution windows that are still open).
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.asset_jobs import EVALUATION_KIND, evaluate_ab_tests
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import evaluation_pending, unfinished_run_id
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: EVALUATION_KIND}


@dg.sensor(
    name="changed_ab_tests",
    job_name=evaluate_ab_tests.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `evaluate_ab_tests` when contacts or messages of a running "
    "test changed. Every ten minutes for tests that change only by time.",
)
def changed_ab_tests(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.SensorResult | dg.SkipReason:
    """Look whether there is something to judge."""
    now = datetime.now(UTC)
    ahead = evaluation_pending(engine.database)
    if not ahead.is_due(now, judged_at=context.cursor):
        return dg.SkipReason(ahead.told())
    run_id = unfinished_run_id(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{ahead.told()}; run {run_id[:8]} is still at work")
    request = dg.RunRequest(run_key=None, tags=_TAGS)
    return dg.SensorResult(run_requests=[request], cursor=now.isoformat())
