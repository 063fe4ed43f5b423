"""Failed runs: their incidents, which are resolved when the job succeeds, and the tables that they
wrote to.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import dagster as dg
from dagster._core.execution.stats import StepEventStatus

from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations.incidents import NewIncident
from drip_pipeline.engine.operations.incidents import RUN_FAILED, failed_run, job_of
from drip_pipeline.engine.runner.run_summary import summarize_run
from drip_pipeline.orchestration.jobs.job_form import OPERATOR_KIND
from drip_pipeline.orchestration.jobs.run_due_workflows import KIND_TAG, run_due_workflows
from drip_pipeline.orchestration.jobs.run_due_workflows_ops import reconcile
from drip_pipeline.orchestration.metadata.run import materializations
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.settings import Settings

_MAX_LENGTH: Final = 300


def incident_of(context: dg.RunFailureSensorContext) -> NewIncident:
    """Build the incident of a failed run.

    The cause is the description of the first failed step, or Dagster's message if no step failed
    (the worker was killed).
    """
    run = context.dagster_run
    cause = context.failure_event.message or "no cause given"
    for event in context.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        if failure is not None and failure.description:
            cause = f"step {event.step_key}: {failure.description}"
            break
    shown = cause if len(cause) <= _MAX_LENGTH else f"{cause[: _MAX_LENGTH - 1]}…"
    url = Settings.from_env().dagster_url
    return failed_run(run.job_name, run.run_id, shown, dagster_url=url)


def is_refusal(context: dg.RunFailureSensorContext) -> bool:
    """Return whether a person started the job and it failed with a sentence for that person."""
    if context.dagster_run.tags.get(KIND_TAG) != OPERATOR_KIND:
        return False
    failures = [
        event.step_failure_data.user_failure_data for event in context.get_step_failure_events()
    ]
    return bool(failures) and all(failures)


def report_written_tables(context: dg.RunFailureSensorContext, engine: EngineResource) -> None:
    """Report the tables that a failed run of the minute job wrote to as materialized.

    Its last step does that, and is skipped when one channel fails: the batches and messages of the
    others are committed nevertheless.
    """
    run = context.dagster_run
    if run.job_name != run_due_workflows.name or _has_reconciled(context):
        return
    record = context.instance.get_run_record_by_id(run.run_id)
    if record is None or record.start_time is None:
        return
    began_at = datetime.fromtimestamp(record.start_time, UTC)
    summary = summarize_run(engine.engine, run.run_id, began_at=began_at, now=datetime.now(UTC))
    for materialization in materializations(summary):
        context.instance.report_runless_asset_event(materialization)


def _has_reconciled(context: dg.RunFailureSensorContext) -> bool:
    steps = context.instance.get_run_step_stats(context.dagster_run.run_id, [reconcile.name])
    return any(step.status is StepEventStatus.SUCCESS for step in steps)


def resolve_recovered(instance: dg.DagsterInstance, database: Database, now: datetime) -> int:
    """Resolve the incidents of jobs that have succeeded since they last failed. Return how many."""
    with database.transaction() as connection:
        recovered = [
            incident.incident_key
            for incident in incidents_db.open_of_kind(connection, RUN_FAILED)
            if _has_succeeded(instance, job_of(incident.incident_key), incident.seen_at)
        ]
        return sum(incidents_db.resolve(connection, key, now=now) for key in recovered)


def _has_succeeded(instance: dg.DagsterInstance, job: str, since: datetime) -> bool:
    successes = dg.RunsFilter(
        job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS], updated_after=since
    )
    return bool(instance.get_run_records(successes, limit=1))
