"""Failed runs as incidents: in whose words they are told, and when they are over."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations import incidents as incidents_db
from drip_pipeline.db.operations.incidents import IncidentRow
from drip_pipeline.engine.operations.incidents import RUN_FAILED, failed_run

_SHOWN: Final = 300


def incident_of(context: dg.RunFailureSensorContext) -> IncidentRow:
    """The incident of the run that failed: the first failed step's own sentence, or Dagster's where
    no step failed (a worker that was killed)."""
    run = context.dagster_run
    cause = context.failure_event.message or "it says nothing of the cause"
    for event in context.get_step_failure_events():
        told = event.step_failure_data.user_failure_data
        if told is not None and told.description:
            cause = f"step {event.step_key}: {told.description}"
            break
    shown = cause if len(cause) <= _SHOWN else f"{cause[: _SHOWN - 1]}…"
    return failed_run(run.job_name, run.run_id, shown)


def close_recovered(instance: dg.DagsterInstance, database: Database, now: datetime) -> int:
    """Close the incidents of jobs that have succeeded since they failed last; how many."""
    with database.transaction() as connection:
        failing = incidents_db.open_of_kind(connection, RUN_FAILED)
        recovered = [
            row["incident_key"]
            for row in failing
            if _has_succeeded(instance, row["incident_key"].partition("/")[2], row["seen_at"])
        ]
        return sum(incidents_db.resolve(connection, key, now=now) for key in recovered)


def _has_succeeded(instance: dg.DagsterInstance, job: str, since: datetime) -> bool:
    wanted = dg.RunsFilter(
        job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS], updated_after=since
    )
    return bool(instance.get_run_records(wanted, limit=1))
