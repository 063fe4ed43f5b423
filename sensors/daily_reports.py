"""The schedule of the A/B test reports: daily, or as set by DRIP_REPORT_CRON."""

import dagster as dg

from drip_pipeline.errors import SettingsError
from drip_pipeline.orchestration.jobs.write_ab_reports import write_ab_reports
from drip_pipeline.settings import DAILY, Settings


def report_cron() -> str:
    """Return the cron expression of the settings.

    Invalid settings must not keep the code location from loading, because then no run could report
    them; the default is used instead.
    """
    try:
        return Settings.from_env().report_cron
    except SettingsError:
        return DAILY


daily_reports = dg.ScheduleDefinition(
    name="daily_reports",
    job_name=write_ab_reports.name,
    cron_schedule=report_cron(),
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily, or as set by DRIP_REPORT_CRON: writes the reports of A/B tests and emails "
    "the overview to DRIP_REPORT_TO.",
)
