"""Starts the counting of metrics: today's after messages went out, and the days that late events
changed.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.asset_jobs import COUNTING_KIND, count_daily_metrics
from drip_pipeline.orchestration.look_ahead import days_ahead, unfinished_run
from drip_pipeline.orchestration.minute_job import KIND_TAG
from drip_pipeline.orchestration.partitions import range_tags
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
    ahead = days_ahead(engine.database, datetime.now(UTC), seen=context.cursor)
    if not ahead.ranges:
        return dg.SkipReason(ahead.told())
    run_id = unfinished_run(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"{ahead.told()}; run {run_id[:8]} is still at work")
    requests = [
        dg.RunRequest(run_key=None, tags={**_TAGS, **range_tags(first, last)})
        for first, last in ahead.ranges
    ]
    return dg.SensorResult(run_requests=requests, cursor=ahead.cursor)
