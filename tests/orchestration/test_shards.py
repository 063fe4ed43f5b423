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
from tests.orchestration.running import due_people, minute_job, people_by_status, value

OF_SHARD = "(hashtext(id::text) & 2147483647) %% 2 = %s"


@pytest.fixture(autouse=True)
def _two_shards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DRIP_SHARDS", "2")
    with time_machine.travel(NOW, tick=False):
        yield


def looked(instance: dg.DagsterInstance) -> tuple[list[str], str]:
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
    found: int = value(
        database, f"SELECT count(*) FROM campaign_workflow_states WHERE {OF_SHARD}", shard
    )
    return found


def test_each_shard_gets_a_run_of_its_own(engine_database, instance):
    due_people(engine_database, 30)
    assert looked(instance) == (["1_of_2", "2_of_2"], "")


def test_a_shard_whose_run_is_at_work_waits_and_the_other_does_not(engine_database, instance):
    due_people(engine_database, 30)
    first = under_way(instance, "1_of_2")
    assert looked(instance)[0] == ["2_of_2"]
    second = under_way(instance, "2_of_2")
    told = f"30 people and 0 messages due; runs {first}, {second} still at work"
    assert looked(instance) == ([], told)


def test_people_of_one_shard_start_one_run(engine_database, instance):
    due_people(engine_database, 30)
    with engine_database.transaction() as connection:
        connection.execute(
            f"UPDATE campaign_workflow_states SET next_execution_at = %s WHERE {OF_SHARD}",
            [NOW + timedelta(hours=1), 0],
        )
    assert looked(instance)[0] == ["2_of_2"]


def test_few_messages_are_one_runs_business_and_many_both(engine_database, instance, monkeypatch):
    due_people(engine_database, 30)
    advance_batch(engine_database, now=NOW, batch_size=100)
    assert looked(instance)[0] == ["1_of_2"]
    assert MESSAGES_PER_RUN > 29
    monkeypatch.setattr("drip_pipeline.orchestration.shards.MESSAGES_PER_RUN", 29)
    assert looked(instance)[0] == ["1_of_2", "2_of_2"]


def test_a_run_takes_its_own_shard_and_two_take_everybody_once(engine_database, instance):
    due_people(engine_database, 60)
    mine, theirs = people_of(engine_database, 0), people_of(engine_database, 1)
    assert run_shard(instance, "1_of_2").success
    assert people_by_status(engine_database) == {"waiting": mine, "running": theirs}
    assert run_shard(instance, "2_of_2").success
    assert people_by_status(engine_database) == {"waiting": 60}
    assert value(engine_database, "SELECT count(*) FROM recorded_messages") == 60


@pytest.mark.parametrize("told", ["2", "0_of_2", "3_of_2", "a_of_b", ""])
def test_a_tag_that_names_no_shard_says_how_it_is_written(told: Any):
    with pytest.raises(DripError, match="names no shard") as caught:
        shard_of_run({SHARD_TAG: told})
    assert "2_of_4" in caught.value.hint


def test_a_run_without_the_tag_takes_everybody():
    assert shard_of_run({}) == WorkUnit(1, 1)
