"""Schedules that compute metrics and evaluate A/B tests once a day, even if nothing seems changed.

So a lost stale mark is corrected, and results older than a day mean a fault.
"""

from datetime import timedelta

import dagster as dg

from drip_pipeline.orchestration.jobs.asset_jobs import (
    EVALUATION_KIND,
    METRICS_KIND,
    compute_daily_metrics,
    evaluate_ab_tests,
)
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.partitions import range_tags


@dg.schedule(
    name="nightly_metrics",
    job_name=compute_daily_metrics.name,
    cron_schedule="20 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: recomputes the last three days, stale or not, and writes their "
    "files.",
)
def nightly_metrics(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Request today and the two days before."""
    today = context.scheduled_execution_time.date()
    tags = {KIND_TAG: METRICS_KIND, **range_tags(today - timedelta(days=2), today)}
    return dg.RunRequest(run_key=today.isoformat(), tags=tags)


nightly_evaluation = dg.ScheduleDefinition(
    name="nightly_evaluation",
    job_name=evaluate_ab_tests.name,
    cron_schedule="30 3 * * *",
    execution_timezone="UTC",
    tags={KIND_TAG: EVALUATION_KIND},
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: evaluates all running A/B tests, changed or not.",
)
