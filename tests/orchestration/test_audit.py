"""Operations of Dagster jobs name their actor in the audit trail."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.engine.audit import login_name
from drip_pipeline.orchestration.jobs.job_form import JobForm
from drip_pipeline.orchestration.jobs.operator_jobs import DeclareForm, RequeueForm
from drip_pipeline.orchestration.jobs.version_jobs import SnapshotForm
from tests.engine.ab_tests.split_contacts import a_split_test, people
from tests.engine.factories import NOW, a_published_campaign, contacts, enrolled
from tests.engine.graphs import email, end, graph, trigger
from tests.orchestration.running import filled_in


def run(instance: dg.DagsterInstance, job: str, form: JobForm, **tags: str) -> None:
    definition = build_definitions().resolve_job_def(job)
    done = definition.execute_in_process(
        instance=instance,
        run_config=filled_in(form, NOW),
        tags={name.replace("__", "/"): value for name, value in tags.items()},
    )
    assert done.success


def recorded(database: Database) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT action, actor, source, object_name, reason, occurred_at FROM operator_actions"
            " ORDER BY action, actor"
        ).fetchall()


@pytest.fixture
def campaign(engine_database: Database) -> Database:
    with engine_database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 10)
        flow = graph(trigger("mail"), email("mail", default="end"), end())
        other = a_published_campaign(connection, flow, name="Other")
        enrolled(connection, other, contacts(connection, other.workspace_id, 2))
        connection.execute(
            "UPDATE campaign_workflow_states SET workflow_status = 'failed', completed_at = %s,"
            " next_execution_at = NULL",
            [NOW],
        )
    return engine_database


def test_a_job_records_the_actor_of_its_run(campaign, instance, monkeypatch):
    run(
        instance, "requeue_failed",
        RequeueForm(campaign="Other", reason="the relay is back"), drip__actor="Jane",
    )  # fmt: skip
    run(
        instance, "declare_winner",
        DeclareForm(campaign="Welcome", variant="b", reason="by contract", decided_by="Joe"),
        user="joe",
    )  # fmt: skip
    run(instance, "snapshot_campaign", SnapshotForm(campaign="Welcome"))
    monkeypatch.setenv("DRIP_ACTOR", "production")
    run(instance, "snapshot_campaign", SnapshotForm(campaign="Welcome"))
    names = sorted([login_name(), "production"])
    assert recorded(campaign) == [
        ("declare_winner", "joe", "dagster", "Welcome", "by contract", NOW),
        ("requeue", "Jane", "dagster", "Other", "the relay is back", NOW),
        ("snapshot", names[0], "dagster", "Welcome", None, NOW),
        ("snapshot", names[1], "dagster", "Welcome", None, NOW),
    ]
