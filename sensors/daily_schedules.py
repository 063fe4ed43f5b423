"""Once a day figures are counted and tests judged, whether or not anything seems to have happened:
a mark that was lost is found, and what is older than a day is known to be broken.
"""

from datetime import timedelta

import dagster as dg

from drip_pipeline.orchestration.jobs.asset_jobs import (
    COUNTING_KIND,
    JUDGING_KIND,
    count_daily_metrics,
    judge_tests,
)
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG
from drip_pipeline.orchestration.partitions import range_tags


@dg.schedule(
    name="daily_count",
    job_name=count_daily_metrics.name,
    cron_schedule="20 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: counts the last three days anew, whatever is marked, and writes "
    "their files.",
)
def daily_count(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Today and the two days before."""
    today = context.scheduled_execution_time.date()
    tags = {KIND_TAG: COUNTING_KIND, **range_tags(today - timedelta(days=2), today)}
    return dg.RunRequest(run_key=today.isoformat(), tags=tags)


daily_judging = dg.ScheduleDefinition(
    name="daily_judging",
    job_name=judge_tests.name,
    cron_schedule="30 3 * * *",
    execution_timezone="UTC",
    tags={KIND_TAG: JUDGING_KIND},
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: judges all running A/B tests, whether or not anything changed.",
)
