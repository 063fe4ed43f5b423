"""The minute job over real campaigns: everybody gets on, figures are told, and repeating is safe."""

from __future__ import annotations

import dagster as dg

from drip_pipeline.db import states as states_db
from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.run_config import minute_config
from tests.engine.factories import NOW, a_published_campaign, contacts, enrolled
from tests.engine.graphs import email, end, graph, trigger, wait_hours

WELCOME = graph(
    trigger("first"),
    email("first", default="rest"),
    wait_hours("rest", 24, default="second"),
    email("second", default="end"),
    end(),
)


def people_due(database: Database, count: int) -> None:
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, WELCOME)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, count))


def test_one(engine_database: Database, instance: dg.DagsterInstance):
    people_due(engine_database, 100)
    job = build_definitions().resolve_job_def("run_due_workflows")
    result = job.execute_in_process(run_config=minute_config(NOW), instance=instance)
    assert result.success
    with engine_database.transaction() as connection:
        print(states_db.population(connection))
        print(
            connection.execute(
                "select kind, outcome, step_key, size, sizes, duration_ms from campaign_batches"
            ).fetchall()
        )
    for e in result.all_events:
        if e.is_step_materialization or e.event_type_value == "STEP_OUTPUT":
            print(e.step_key, e.event_type_value, e.event_specific_data)
    assert 0
