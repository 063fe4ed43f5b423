"""Runs side by side: each takes its own people, one run at a time per shard, and what is due for
one shard alone starts one run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
import time_machine

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.runner.work_units import WorkUnit
from drip_pipeline.errors import DripError
from drip_pipeline.orchestration.jobs.run_due_workflows import run_due_workflows
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.orchestration.run_config import minute_config
from drip_pipeline.orchestration.shards import MESSAGES_PER_RUN, SHARD_TAG, shard_of_run
from sensors.due_steps import due_steps
from tests.engine.factories import NOW
from tests.orchestration.running import due_enrollments, minute_job, states_by_status, value

OF_SHARD = "(hashtext(id::text) & 2147483647) %% 2 = %s"


@pytest.fixture(autouse=True)
def _two_shards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DRIP_SHARDS", "2")
    with time_machine.travel(NOW, tick=False):
        yield


def checked(instance: dg.DagsterInstance) -> tuple[list[str], str]:
    """The shards for which the sensor wants a run, and why it wants none."""
    resources = {"engine": EngineResource()}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        data = due_steps.evaluate_tick(context)
    return [request.tags[SHARD_TAG] for request in data.run_requests or ()], data.skip_message or ""


def under_way(instance: dg.DagsterInstance, shard: str) -> str:
    tags = {"drip/kind": "engine", SHARD_TAG: shard}
    run = instance.create_run_for_job(
        run_due_workflows, tags=tags, status=dg.DagsterRunStatus.STARTED
    )
    return run.run_id[:8]


def run_shard(instance: dg.DagsterInstance, shard: str) -> dg.ExecuteInProcessResult:
    return minute_job().execute_in_process(
        run_config=minute_config(NOW), instance=instance, tags={SHARD_TAG: shard}
    )


def people_of(database: Database, shard: int) -> int:
    count: int = value(
        database, f"SELECT count(*) FROM campaign_workflow_states WHERE {OF_SHARD}", shard
    )
    return count


def test_each_shard_gets_a_run_of_its_own(engine_database, instance):
    due_enrollments(engine_database, 30)
    assert checked(instance) == (["1_of_2", "2_of_2"], "")


def test_only_the_shard_with_a_run_in_progress_waits(engine_database, instance):
    due_enrollments(engine_database, 30)
    first = under_way(instance, "1_of_2")
    assert checked(instance)[0] == ["2_of_2"]
    second = under_way(instance, "2_of_2")
    reason = f"30 enrollments and 0 messages due; runs {first}, {second} still in progress"
    assert checked(instance) == ([], reason)


def test_due_enrollments_of_one_shard_start_one_run(engine_database, instance):
    due_enrollments(engine_database, 30)
    with engine_database.transaction() as connection:
        connection.execute(
            f"UPDATE campaign_workflow_states SET next_execution_at = %s WHERE {OF_SHARD}",
            [NOW + timedelta(hours=1), 0],
        )
    assert checked(instance)[0] == ["2_of_2"]


def test_few_messages_start_one_run_and_many_start_two(engine_database, instance, monkeypatch):
    due_enrollments(engine_database, 30)
    advance_batch(engine_database, now=NOW, batch_size=100)
    assert checked(instance)[0] == ["1_of_2"]
    assert MESSAGES_PER_RUN > 29
    monkeypatch.setattr("drip_pipeline.orchestration.shards.MESSAGES_PER_RUN", 29)
    assert checked(instance)[0] == ["1_of_2", "2_of_2"]


def test_two_runs_advance_all_enrollments_of_their_shards_once(engine_database, instance):
    due_enrollments(engine_database, 60)
    mine, theirs = people_of(engine_database, 0), people_of(engine_database, 1)
    assert run_shard(instance, "1_of_2").success
    assert states_by_status(engine_database) == {"waiting": mine, "running": theirs}
    assert run_shard(instance, "2_of_2").success
    assert states_by_status(engine_database) == {"waiting": 60}
    assert value(engine_database, "SELECT count(*) FROM recorded_messages") == 60


@pytest.mark.parametrize("tag", ["2", "0_of_2", "3_of_2", "a_of_b", ""])
def test_an_invalid_shard_tag_is_refused_with_its_format(tag: Any):
    with pytest.raises(DripError, match="is not a shard") as caught:
        shard_of_run({SHARD_TAG: tag})
    assert "2_of_4" in caught.value.hint


def test_a_run_without_the_tag_takes_all_enrollments():
    assert shard_of_run({}) == WorkUnit(1, 1)
