"""Run the real jobs in this process, and read their results from Dagster's storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.orchestration.jobs.job_form import JobForm
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.orchestration.run_config import minute_config
from sensors.alerts import failed_runs
from tests.engine.factories import (
    NOW,
    Published,
    a_published_campaign,
    contacts,
    enrolled,
)
from tests.engine.graphs import email, end, graph, trigger, wait_hours

WELCOME = graph(
    trigger("first"),
    email("first", default="rest"),
    wait_hours("rest", 24, default="second"),
    email("second", default="end"),
    end(),
)


def minute_job() -> dg.JobDefinition:
    """Return the minute job of the code location; by name, so that it can be re-executed."""
    return build_definitions().resolve_job_def("run_due_workflows")


def run_minute(
    instance: dg.DagsterInstance, now: datetime = NOW, **config: Any
) -> dg.ExecuteInProcessResult:
    """Run the minute job once."""
    return minute_job().execute_in_process(
        run_config=minute_config(now, **config), instance=instance, raise_on_error=False
    )


@contextmanager
def executed_again(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.JobExecutionResult]:
    """Re-execute from failure, as the UI does."""
    options = dg.ReexecutionOptions.from_failure(run_id, instance)
    job = dg.reconstructable(minute_job)
    with dg.execute_job(job, instance=instance, reexecution_options=options) as result:
        yield result


def filled_in(form: JobForm, now: datetime = NOW) -> dict[str, Any]:
    """Return the run configuration of a job whose form is filled in like this."""
    return {**form.model_dump(exclude_unset=True), "now": now.isoformat()}


def report_failure(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> None:
    """Let the sensor see a failed run."""
    (failure,) = [e for e in result.all_events if e.event_type_value == "PIPELINE_FAILURE"]
    with dg.build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=failure,
        resources={"engine": EngineResource()},
    ) as context:
        failed_runs(context.for_run_failure())


def due_enrollments(
    database: Database, count: int, flow: CampaignGraph = WELCOME, *, name: str = "Welcome"
) -> Published:
    """Publish a campaign with this many due enrollments at its entry."""
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow, name=name)
        prefix = name.lower().replace(" ", "")
        contact_ids = contacts(connection, campaign.workspace_id, count, prefix=prefix)
        enrolled(connection, campaign, contact_ids)
    return campaign


def steps(result: Any, kind: str) -> list[str]:
    """Return the steps that have an event of this kind (STEP_SUCCESS …), in order."""
    return [event.step_key for event in result.all_events if event.event_type_value == kind]


def failures(result: Any) -> dict[str, Any]:
    """Return description and metadata of each failed step."""
    by_step = {}
    for event in result.all_events:
        if event.event_type_value == "STEP_FAILURE":
            failure = event.step_failure_data.user_failure_data
            by_step[event.step_key] = (
                failure.description,
                {label: entry.value for label, entry in failure.metadata.items()},
            )
    return by_step


def value(database: Database, statement: str, *params: Any) -> Any:
    """Return the single value of a statement."""
    with database.transaction() as connection:
        ((result,),) = connection.execute(statement, params).fetchall()
    return result


def states_by_status(database: Database) -> dict[str, int]:
    """Count the workflow states by status."""
    with database.transaction() as connection:
        return dict(
            connection.execute(
                "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1"
            ).fetchall()
        )
