"""Running the real jobs in this process, and reading what the runs left in Dagster's storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.orchestration.run_config import minute_config
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
    """The minute job as the code location has it; by name, so that it can be executed again."""
    return build_definitions().resolve_job_def("run_due_workflows")


def run_minute(
    instance: dg.DagsterInstance, now: datetime = NOW, **config: Any
) -> dg.ExecuteInProcessResult:
    """One run of the minute job."""
    return minute_job().execute_in_process(
        run_config=minute_config(now, **config), instance=instance, raise_on_error=False
    )


@contextmanager
def executed_again(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.JobExecutionResult]:
    """Re-execution from failure, as the UI does it."""
    options = dg.ReexecutionOptions.from_failure(run_id, instance)
    job = dg.reconstructable(minute_job)
    with dg.execute_job(job, instance=instance, reexecution_options=options) as result:
        yield result


def due_people(
    database: Database, count: int, flow: CampaignGraph = WELCOME, *, name: str = "Welcome"
) -> Published:
    """A campaign with so many people at its entry, all due."""
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow, name=name)
        prefix = name.lower().replace(" ", "")
        people = contacts(connection, campaign.workspace_id, count, prefix=prefix)
        enrolled(connection, campaign, people)
    return campaign


def steps(result: Any, kind: str) -> list[str]:
    """The steps for which the run has an event of this kind (STEP_SUCCESS …), in order."""
    return [event.step_key for event in result.all_events if event.event_type_value == kind]


def failures(result: Any) -> dict[str, Any]:
    """The failed steps and what each said of itself: description and metadata."""
    found = {}
    for event in result.all_events:
        if event.event_type_value == "STEP_FAILURE":
            told = event.step_failure_data.user_failure_data
            found[event.step_key] = (
                told.description,
                {label: entry.value for label, entry in told.metadata.items()},
            )
    return found


def value(database: Database, statement: str, *params: Any) -> Any:
    """The one value that a statement gives."""
    with database.transaction() as connection:
        ((found,),) = connection.execute(statement, params).fetchall()
    return found


def people_by_status(database: Database) -> dict[str, int]:
    """How many states there are of each status."""
    with database.transaction() as connection:
        return dict(
            connection.execute(
                "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1"
            ).fetchall()
        )
