"""Starts the judging of A/B tests when there is something new to count, and now and then where only
time moves a test (a minimum run time, attribution windows that are still open).
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.asset_jobs import JUDGING_KIND, judge_tests
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.pending_work import judging_ahead, unfinished_run
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: JUDGING_KIND}


@dg.sensor(
    name="changed_tests",
    job_name=judge_tests.name,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: starts `judge_tests` when people or messages of a running test "
    "changed; every ten minutes where only time moves one.",
)
def changed_tests(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.SensorResult | dg.SkipReason:
    """Look whether there is something to judge."""
    now = datetime.now(UTC)
    ahead = judging_ahead(engine.database)
    if not ahead.is_due(now, judged_at=context.cursor):
        return dg.SkipReason(ahead.told())
    run_id = unfinished_run(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{ahead.told()}; run {run_id[:8]} is still at work")
    request = dg.RunRequest(run_key=None, tags=_TAGS)
    return dg.SensorResult(run_requests=[request], cursor=now.isoformat())
