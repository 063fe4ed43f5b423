"""The hourly schedule of the asset checks."""

import dagster as dg

from drip_pipeline.orchestration.jobs.asset_jobs import check_invariants

hourly_invariants = dg.ScheduleDefinition(
    name="hourly_invariants",
    job_name=check_invariants.name,
    cron_schedule="17 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour, not on the full hour: runs the checks of `check_invariants`.",
)
