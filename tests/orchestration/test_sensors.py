"""Sensors only decide: they skip with a reason, start due jobs, and wait for unfinished runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import time_machine

from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days
from drip_pipeline.orchestration.jobs.run_due_workflows import run_due_workflows
from drip_pipeline.orchestration.pending_work import PendingEvaluation
from drip_pipeline.orchestration.resources import EngineResource
from sensors.changed_ab_tests import changed_ab_tests
from sensors.due_steps import due_steps
from sensors.entry_triggers import entry_triggers
from sensors.stale_metrics import stale_metrics
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    a_running_test,
    contacts,
    run_until_idle,
)
from tests.orchestration.running import WELCOME, due_enrollments, states_by_status

ENGINE = {"drip/kind": "engine", "drip/shard": "1_of_1"}


@pytest.fixture(autouse=True)
def _at_now():
    with time_machine.travel(NOW, tick=False):
        yield


def tick(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None = None
) -> tuple[list[dg.RunRequest], str, str | None]:
    """Return the run requests, skip reason and cursor of one tick."""
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"engine": EngineResource()}
    ) as context:
        data = sensor.evaluate_tick(context)
    return list(data.run_requests or ()), data.skip_message or "", data.cursor


def test_without_enrollments_it_skips(engine_database, instance):
    requests, reason, _ = tick(due_steps, instance)
    assert requests == []
    assert reason == "nothing due; no enrollment is waiting for a time"


def test_without_due_work_it_skips_with_the_next_due_time(engine_database, instance):
    due_enrollments(engine_database, 30)
    run_until_idle(engine_database)
    requests, reason, _ = tick(due_steps, instance)
    assert requests == []
    assert reason == "nothing due; next at 2026-03-03 09:00:00 UTC; 30 enrollments waiting"


def test_due_enrollments_start_a_run_without_a_run_key(engine_database, instance):
    due_enrollments(engine_database, 30)
    ((request,), _, _) = tick(due_steps, instance)
    assert request.run_key is None
    assert request.tags["drip/kind"] == "engine"
    assert request.run_config == {}


def test_enrollments_that_no_run_would_claim_start_no_run(engine_database, instance):
    due_enrollments(engine_database, 30)
    with engine_database.transaction() as connection:
        connection.execute("UPDATE drip_campaigns SET published_version = NULL")
    requests, reason, _ = tick(due_steps, instance)
    assert (requests, reason) == ([], "nothing due; no enrollment is waiting for a time")
    with engine_database.transaction() as connection:
        connection.execute("UPDATE drip_campaigns SET published_version = 1")
        connection.execute("UPDATE campaign_workflow_states SET campaign_version = NULL")
    assert tick(due_steps, instance)[0] == []


def test_due_messages_start_a_run(engine_database, instance):
    due_enrollments(engine_database, 30)
    advance_batch(engine_database, now=NOW, batch_size=100)
    assert len(tick(due_steps, instance)[0]) == 1


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_it_skips_with_counts_while_a_run_is_in_progress(engine_database, instance, status):
    due_enrollments(engine_database, 30)
    run = instance.create_run_for_job(run_due_workflows, tags=ENGINE, status=status)
    requests, reason, _ = tick(due_steps, instance)
    assert requests == []
    assert reason == f"30 enrollments and 0 messages due; run {run.run_id[:8]} still in progress"


def test_finished_runs_and_other_jobs_do_not_delay_it(engine_database, instance):
    due_enrollments(engine_database, 30)
    for status, tags in (
        (dg.DagsterRunStatus.SUCCESS, ENGINE),
        (dg.DagsterRunStatus.FAILURE, ENGINE),
        (dg.DagsterRunStatus.STARTED, {"drip/kind": "ab_evaluation"}),
    ):
        instance.create_run_for_job(run_due_workflows, tags=tags, status=status)
    assert len(tick(due_steps, instance)[0]) == 1


def test_a_message_of_a_crashed_sender_starts_a_run(engine_database, instance):
    due_enrollments(engine_database, 1)
    advance_batch(engine_database, now=NOW, batch_size=100)
    execute(
        engine_database,
        "UPDATE campaign_deliveries SET status = 'sending', due_at = NULL,"
        " lease_token = gen_random_uuid(), leased_until = %s",
        NOW - timedelta(minutes=1),
    )
    assert len(tick(due_steps, instance)[0]) == 1


def test_enrollments_resumed_by_an_application_start_a_run(engine_database, instance):
    due_enrollments(engine_database, 3)
    execute(engine_database, "UPDATE campaign_enrollments SET status = 'paused'")
    run_until_idle(engine_database)
    assert tick(due_steps, instance)[0] == []
    execute(engine_database, "UPDATE campaign_enrollments SET status = 'active'")
    assert len(tick(due_steps, instance)[0]) == 1


def test_large_numbers_are_counted_up_to_a_limit(engine_database, instance, monkeypatch):
    monkeypatch.setattr("drip_pipeline.orchestration.pending_work.COUNT_LIMIT", 10)
    due_enrollments(engine_database, 30)
    run_until_idle(engine_database)
    assert "10+ enrollments waiting" in tick(due_steps, instance)[1]


# --- entry triggers


def test_contacts_that_match_start_a_run_that_enrolls_them_once(engine_database, instance):
    start = replace(WELCOME.nodes["start"], config=TriggerConfig(trigger="tag", tag="vip"))
    with engine_database.transaction() as connection:
        campaign = a_published_campaign(
            connection, replace(WELCOME, nodes={**WELCOME.nodes, "start": start})
        )
        contacts(connection, campaign.workspace_id, 40)
    assert tick(entry_triggers, instance)[:2] == (
        [],
        "no new matches; 1 campaigns have an entry trigger",
    )
    execute(engine_database, "UPDATE contacts SET tags = '{vip}'")
    ((request,), _, _) = tick(entry_triggers, instance)
    assert request.tags["drip/kind"] == "entry_triggers"
    job = build_definitions().resolve_job_def("enroll_by_triggers")
    result = job.execute_in_process(instance=instance)
    (output,) = result.get_step_success_events()[:1]
    assert output.step_key == "enroll_matching_contacts"
    assert tick(entry_triggers, instance)[:2] == (
        [],
        "no new matches; 1 campaigns have an entry trigger",
    )
    assert len(tick(due_steps, instance)[0]) == 1
    assert sum(states_by_status(engine_database).values()) == 40


# --- tests to judge -------------------------------------------------------------------------------


def test_without_tests_nothing_is_evaluated(engine_database, instance):
    requests, reason, _ = tick(changed_ab_tests, instance)
    assert requests == []
    assert reason == "no running test has changed; 0 running"


def test_a_test_that_was_never_counted_is_evaluated(engine_database, instance):
    campaign = due_enrollments(engine_database, 3)
    with engine_database.transaction() as connection:
        a_running_test(connection, campaign, "first")
    ((request,), _, cursor) = tick(changed_ab_tests, instance)
    assert request.tags["drip/kind"] == "ab_evaluation"
    assert cursor == NOW.isoformat()


def test_a_test_that_changes_only_by_time_is_evaluated_every_ten_minutes():
    ahead = PendingEvaluation(changed=0, changing_by_time=1, running=1)
    assert ahead.is_due(NOW, evaluated_at=None)
    assert not ahead.is_due(NOW, evaluated_at=(NOW - timedelta(minutes=9)).isoformat())
    assert ahead.is_due(NOW, evaluated_at=(NOW - timedelta(minutes=10)).isoformat())


# --- days to count --------------------------------------------------------------------------------


def test_days_are_computed_after_messages_were_sent_and_only_then(engine_database, instance):
    assert tick(stale_metrics, instance)[0] == []
    due_enrollments(engine_database, 3)
    run_until_idle(engine_database)
    ((request,), _, _) = tick(stale_metrics, instance)
    assert request.tags["dagster/asset_partition_range_start"] == "2026-03-02"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-03-02"
    aggregate_days(engine_database, [NOW.date()])
    requests, reason, _ = tick(stale_metrics, instance)
    assert requests == []
    assert reason == "no message has changed since its day was computed"


def test_days_changed_by_late_events_are_requested_as_ranges(engine_database, instance):
    campaign = due_enrollments(engine_database, 3)
    for day in ("2026-01-05", "2026-01-06", "2026-02-01"):
        execute(
            engine_database,
            "INSERT INTO stale_metric_days (workspace_id, metric_date) VALUES (%s, %s)",
            campaign.workspace_id, day,
        )  # fmt: skip
    requests, _, _ = tick(stale_metrics, instance)
    asked = [
        (
            request.tags["dagster/asset_partition_range_start"],
            request.tags["dagster/asset_partition_range_end"],
        )
        for request in requests
    ]
    assert asked == [
        ("2026-01-05", "2026-01-06"),
        ("2026-02-01", "2026-02-01"),
        ("2026-03-02", "2026-03-02"),
    ]


def test_days_without_a_partition_start_nothing(engine_database, instance):
    campaign = due_enrollments(engine_database, 3)
    for day in ("2008-03-20", "2030-01-01"):
        execute(
            engine_database,
            "INSERT INTO stale_metric_days (workspace_id, metric_date) VALUES (%s, %s)",
            campaign.workspace_id, day,
        )  # fmt: skip
    assert tick(stale_metrics, instance)[0] == []


def execute(database: Database, statement: str, *params: Any) -> None:
    with database.transaction() as connection:
        connection.execute(statement, params)
