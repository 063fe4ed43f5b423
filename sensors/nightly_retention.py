"""The nightly schedule of retention."""

import dagster as dg

from drip_pipeline.orchestration.jobs.apply_retention import apply_retention

nightly_retention = dg.ScheduleDefinition(
    name="nightly_retention",
    job_name=apply_retention.name,
    cron_schedule="41 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: archives and deletes what is older than DRIP_RETENTION.",
)
