"""Starts the counting of metrics: of today after messages went out, and of days that late events
changed.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.asset_jobs import COUNTING_KIND, count_daily_metrics
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.partitions import range_tags
from drip_pipeline.orchestration.pending_work import stretches_to_count, unfinished_run
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: COUNTING_KIND}


@dg.sensor(
    name="uncounted_days",
    job_name=count_daily_metrics.name,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every five minutes: starts `count_daily_metrics` for the days whose figures may "
    "have changed: today's when messages went out, others when events arrived late.",
)
def uncounted_days(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.SensorResult | dg.SkipReason:
    """Look which days have changed."""
    stretches = stretches_to_count(engine.database, datetime.now(UTC))
    if not stretches:
        return dg.SkipReason("nothing became of any message since its day was counted")
    run_id = unfinished_run(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"days to count; run {run_id[:8]} is still at work")
    requests = [
        dg.RunRequest(run_key=None, tags={**_TAGS, **range_tags(first, last)})
        for first, last in stretches
    ]
    return dg.SensorResult(run_requests=requests)
