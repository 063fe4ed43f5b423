"""The composition root: assets, jobs, sensors and resources as one code location. It alone imports
`assets` and `sensors`, and nobody imports it but Dagster, tests and `drip demo`.
"""

from __future__ import annotations

import dagster as dg

from assets.ab_laws import ab_checks
from assets.ab_test_reports import ab_test_reports
from assets.ab_test_results import ab_test_results
from assets.batch_ledger import batch_ledger
from assets.campaign_funnels import campaign_funnels
from assets.daily_campaign_metrics import daily_campaign_metrics
from assets.daily_metrics_files import daily_metrics_files
from assets.event_log import campaign_events
from assets.landed_files import landed_files as landed_files_asset
from assets.laws import checks
from assets.message_outcomes import message_outcomes
from assets.winner_decisions import winner_decisions
from drip_pipeline.orchestration.asset_jobs import check_laws, count_daily_metrics, judge_tests
from drip_pipeline.orchestration.audit_job import audit_tests
from drip_pipeline.orchestration.edits_job import check_canvas_edits
from drip_pipeline.orchestration.executors import chosen_executor
from drip_pipeline.orchestration.inbox_job import drain_inbox
from drip_pipeline.orchestration.landing_job import load_event_files
from drip_pipeline.orchestration.manual_jobs import (
    declare_winner,
    migrate_people,
    requeue_failed,
)
from drip_pipeline.orchestration.minute_job import run_due_workflows
from drip_pipeline.orchestration.newcomers_job import enroll_newcomers
from drip_pipeline.orchestration.report_jobs import write_ab_reports
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from drip_pipeline.orchestration.retention_job import apply_retention
from drip_pipeline.orchestration.version_jobs import (
    compare_campaign_versions,
    list_campaign_versions,
    roll_back_campaign,
    snapshot_campaign,
)
from sensors.alerts import alerts, failed_runs
from sensors.automation import automation
from sensors.canvas_edits import canvas_edits
from sensors.changed_tests import changed_tests
from sensors.daily_reports import daily_reports
from sensors.daily_rounds import daily_count, daily_judging
from sensors.due_work import due_work
from sensors.full_inbox import full_inbox
from sensors.hourly_laws import hourly_laws
from sensors.landed_files import landed_files
from sensors.newcomers import newcomers
from sensors.nightly_retention import nightly_retention
from sensors.uncounted_days import uncounted_days


def build_definitions() -> dg.Definitions:
    """Everything that the code location offers."""
    return dg.Definitions(
        assets=[
            landed_files_asset,
            campaign_events,
            batch_ledger,
            message_outcomes,
            daily_campaign_metrics,
            daily_metrics_files,
            campaign_funnels,
            ab_test_results,
            winner_decisions,
            ab_test_reports,
        ],
        asset_checks=[*checks, *ab_checks],
        jobs=[
            run_due_workflows,
            load_event_files,
            drain_inbox,
            enroll_newcomers,
            check_canvas_edits,
            apply_retention,
            judge_tests,
            count_daily_metrics,
            check_laws,
            write_ab_reports,
            requeue_failed,
            declare_winner,
            migrate_people,
            list_campaign_versions,
            compare_campaign_versions,
            snapshot_campaign,
            roll_back_campaign,
            audit_tests,
        ],
        schedules=[hourly_laws, daily_count, daily_judging, daily_reports, nightly_retention],
        sensors=[
            alerts,
            failed_runs,
            due_work,
            newcomers,
            landed_files,
            full_inbox,
            canvas_edits,
            changed_tests,
            uncounted_days,
            automation,
        ],
        resources={"engine": EngineResource(), "clock": RunClock.configure_at_launch()},
        executor=chosen_executor(),
    )


defs = build_definitions()
