"""Starts the counting of metrics: of today after messages went out, and of days that late events
changed.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.asset_jobs import METRICS_KIND, compute_daily_metrics
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.partitions import range_tags
from drip_pipeline.orchestration.pending_work import ranges_to_compute, unfinished_run_id
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: METRICS_KIND}


@dg.sensor(
    name="stale_metrics",
    job_name=compute_daily_metrics.name,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every five minutes: starts `compute_daily_metrics` for the days whose figures may "
    "have changed: today's when messages went out, others when events arrived late.",
)
def stale_metrics(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.SensorResult | dg.SkipReason:
    """Look which days have changed."""
    day_ranges = ranges_to_compute(engine.database, datetime.now(UTC))
    if not day_ranges:
        return dg.SkipReason("nothing became of any message since its day was counted")
    run_id = unfinished_run_id(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"days to count; run {run_id[:8]} is still at work")
    requests = [
        dg.RunRequest(run_key=None, tags={**_TAGS, **range_tags(first, last)})
        for first, last in day_ranges
    ]
    return dg.SensorResult(run_requests=requests)
