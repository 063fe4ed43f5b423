"""Start the computation of metrics: of today after messages were sent, and of days that late events
changed.
"""

from datetime import UTC, datetime

import dagster as dg

from drip_pipeline.orchestration.jobs.asset_jobs import METRICS_KIND, compute_daily_metrics
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.partitions import range_tags
from drip_pipeline.orchestration.pending_work import (
    ranges_to_compute,
    still_running,
    unfinished_run_id,
)
from drip_pipeline.orchestration.resources import EngineResource

_TAGS = {KIND_TAG: METRICS_KIND}


@dg.sensor(
    name="stale_metrics",
    job_name=compute_daily_metrics.name,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every five minutes: starts `compute_daily_metrics` for days whose metrics may "
    "have changed: today if messages were sent, other days if events arrived late.",
)
def stale_metrics(
    context: dg.SensorEvaluationContext, engine: EngineResource
) -> dg.SensorResult | dg.SkipReason:
    """Check which days have changed."""
    ranges = ranges_to_compute(engine.database, datetime.now(UTC))
    if not ranges:
        return dg.SkipReason("no message has changed since its day was computed")
    run_id = unfinished_run_id(context.instance, _TAGS)
    if run_id is not None:
        return dg.SkipReason(f"days to compute; {still_running(run_id)}")
    requests = [
        dg.RunRequest(run_key=None, tags={**_TAGS, **range_tags(first, last)})
        for first, last in ranges
    ]
    return dg.SensorResult(run_requests=requests)
