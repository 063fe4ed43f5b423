"""The Dagster code location: assets, jobs, sensors and resources.

Only this module imports `assets` and `sensors`. Only Dagster, tests and `drip demo` import it.
"""

from __future__ import annotations

import dagster as dg

from assets.ab_test_invariants import ab_checks
from assets.ab_test_reports import ab_test_reports
from assets.ab_test_results import ab_test_results
from assets.batch_log import batch_log
from assets.campaign_funnels import campaign_funnels
from assets.daily_campaign_metrics import daily_campaign_metrics
from assets.daily_metrics_files import daily_metrics_files
from assets.event_log import campaign_events
from assets.invariants import checks, stored_data
from assets.landed_files import landed_files
from assets.message_outcomes import message_outcomes
from assets.operator_actions import operator_actions
from assets.winner_decisions import winner_decisions
from drip_pipeline.orchestration.executors import chosen_executor
from drip_pipeline.orchestration.jobs.apply_retention import apply_retention
from drip_pipeline.orchestration.jobs.asset_jobs import (
    check_invariants,
    compute_daily_metrics,
    evaluate_ab_tests,
)
from drip_pipeline.orchestration.jobs.audit_ab_tests import audit_ab_tests
from drip_pipeline.orchestration.jobs.campaign_jobs import (
    archive_campaign,
    enroll_contacts,
    pause_campaign,
    resume_campaign,
)
from drip_pipeline.orchestration.jobs.check_external_edits import check_external_edits
from drip_pipeline.orchestration.jobs.delivery_jobs import reset_channel, settle_unknown_messages
from drip_pipeline.orchestration.jobs.drain_inbox import drain_inbox
from drip_pipeline.orchestration.jobs.enroll_by_triggers import enroll_by_triggers
from drip_pipeline.orchestration.jobs.load_event_files import load_event_files
from drip_pipeline.orchestration.jobs.operator_jobs import (
    declare_winner,
    migrate_enrollments,
    requeue_failed,
)
from drip_pipeline.orchestration.jobs.person_jobs import explain_contact
from drip_pipeline.orchestration.jobs.run_due_workflows import run_due_workflows
from drip_pipeline.orchestration.jobs.version_jobs import (
    compare_campaign_versions,
    list_campaign_versions,
    roll_back_campaign,
    snapshot_campaign,
)
from drip_pipeline.orchestration.jobs.write_ab_reports import write_ab_reports
from drip_pipeline.orchestration.resources import EngineResource, RunClock
from sensors.alerts import alerts, failed_runs
from sensors.automation import automation
from sensors.changed_ab_tests import changed_ab_tests
from sensors.daily_reports import daily_reports
from sensors.daily_schedules import nightly_evaluation, nightly_metrics
from sensors.due_steps import due_steps
from sensors.entry_triggers import entry_triggers
from sensors.external_edits import external_edits
from sensors.hourly_invariants import hourly_invariants
from sensors.imported_files import imported_files
from sensors.inbox_pending import inbox_pending
from sensors.nightly_retention import nightly_retention
from sensors.stale_metrics import stale_metrics


def build_definitions() -> dg.Definitions:
    """Build the definitions of the code location."""
    return dg.Definitions(
        assets=[
            landed_files,
            campaign_events,
            batch_log,
            stored_data,
            operator_actions,
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
            enroll_by_triggers,
            check_external_edits,
            apply_retention,
            evaluate_ab_tests,
            compute_daily_metrics,
            check_invariants,
            write_ab_reports,
            pause_campaign,
            resume_campaign,
            archive_campaign,
            enroll_contacts,
            requeue_failed,
            settle_unknown_messages,
            reset_channel,
            declare_winner,
            migrate_enrollments,
            explain_contact,
            list_campaign_versions,
            compare_campaign_versions,
            snapshot_campaign,
            roll_back_campaign,
            audit_ab_tests,
        ],
        schedules=[
            hourly_invariants,
            nightly_metrics,
            nightly_evaluation,
            daily_reports,
            nightly_retention,
        ],
        sensors=[
            alerts,
            failed_runs,
            due_steps,
            entry_triggers,
            imported_files,
            inbox_pending,
            external_edits,
            changed_ab_tests,
            stale_metrics,
            automation,
        ],
        resources={"engine": EngineResource(), "clock": RunClock.configure_at_launch()},
        executor=chosen_executor(),
    )


defs = build_definitions()
