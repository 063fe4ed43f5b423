"""When the reports of A/B tests are written: daily, or as DRIP_REPORT_CRON says."""

import dagster as dg

from drip_pipeline.errors import SettingsError
from drip_pipeline.orchestration.jobs.write_ab_reports import write_ab_reports
from drip_pipeline.settings import DAILY, Settings


def report_cron() -> str:
    """The cron expression of the settings. Settings that cannot be read must not keep the code from
    loading: the runs say what is wrong with them.
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
    description="Daily, or as DRIP_REPORT_CRON says: writes the reports of A/B tests and mails the "
    "overview to DRIP_REPORT_TO.",
)
