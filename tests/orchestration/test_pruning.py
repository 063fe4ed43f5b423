"""Dagster's storage does not grow without limit: idle minutes start no run, and pruning deletes
nothing that the catalog shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.dagster import pruning as pruning_db
from drip_pipeline.db.dagster.pruning import dagster_queries
from drip_pipeline.engine.operations.prune_dagster import prune_dagster
from drip_pipeline.orchestration.jobs.run_due_workflows import run_due_workflows
from drip_pipeline.settings.kinds import Retention
from tests.engine.factories import NOW, a_published_campaign
from tests.orchestration.running import WELCOME
from tests.orchestration.simulated_day import ENROLLMENTS_A_BUSY_MINUTE, simulate

# A whole day: DAGSTER_DAY_MINUTES=1440
MINUTES = int(os.environ.get("DAGSTER_DAY_MINUTES", "4"))
BUSY_EVERY = 10
MB = 1024 * 1024


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["mon", "tue", "wed"]))
def partitioned() -> None:
    """Do nothing; only the materialization matters."""


@pytest.fixture
def storage(dagster_database: str) -> Iterator[Database]:
    with Database(dagster_database) as opened:
        yield opened


def used(storage: Database) -> int:
    """Return the bytes of Dagster's tables and indexes."""
    with storage.transaction() as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def squeeze(storage: Database) -> None:
    with storage.autocommit() as connection:
        connection.execute("VACUUM FULL")


@pytest.mark.timeout(3600)
def test_idle_minutes_start_no_run_and_pruning_frees_the_space_of_a_day(
    engine_database, instance, storage
):
    with engine_database.transaction() as connection:
        campaign = a_published_campaign(connection, WELCOME)
    squeeze(storage)
    before = used(storage)
    day = simulate(
        instance, engine_database, campaign, start=NOW, minutes=MINUTES, busy_every=BUSY_EVERY
    )
    squeeze(storage)
    after = used(storage)
    busy = len(range(0, MINUTES, BUSY_EVERY))
    # Second messages after a day make runs of their own.
    assert day.runs["run_due_workflows"] >= busy
    if MINUTES < 60:
        # A minute is followed by one that counts its messages; the others start nothing.
        assert day.runs["run_due_workflows"] == busy
        assert len(day.runs_in) <= 2 * busy + 1
    later = NOW + timedelta(minutes=MINUTES, days=8)
    pruned = prune_dagster(storage, Retention(runs=7, failed_runs=7), now=later)
    squeeze(storage)
    left = used(storage)
    sizes = pruning_db.size(storage)
    assert pruned.runs + sizes.runs == sum(day.runs.values())
    assert pruned.ticks + sizes.ticks == day.ticks
    assert sizes.runs <= pruned.kept
    assert left - before < (after - before) or MINUTES < 60
    shown = {
        "minutes": MINUTES,
        "busy": busy,
        "enrollments a busy minute": ENROLLMENTS_A_BUSY_MINUTE,
        "runs": dict(day.runs),
        "minutes with a run": len(day.runs_in),
        "ticks": day.ticks,
        "grown MB": round((after - before) / MB, 2),
        "left after pruning MB": round((left - before) / MB, 2),
        "pruned": pruned,
        "left": sizes,
    }
    print(shown)  # noqa: T201


def test_pruning_keeps_the_latest_materializations(instance, storage):
    for day in ("mon", "tue", "tue", "tue", "wed", "mon"):
        dg.materialize([partitioned], instance=instance, partition_key=day)
    asset = dg.AssetKey("partitioned")
    partitions = instance.get_materialized_partitions(asset)
    latest = instance.get_latest_materialization_event(asset)
    assert partitions == {"mon", "tue", "wed"}

    later = NOW + timedelta(days=10_000)
    dry = prune_dagster(storage, Retention(), now=later, dry_run=True)
    assert (dry.runs, dry.events) == (3, 0)
    assert len(instance.get_run_ids()) == 6
    pruned = prune_dagster(storage, Retention(), now=later)
    assert pruned.runs == 3
    assert pruned.events > 0
    assert prune_dagster(storage, Retention(), now=later).runs == 0

    assert instance.get_materialized_partitions(asset) == partitions
    kept = instance.get_latest_materialization_event(asset)
    assert kept is not None
    assert kept == latest
    assert len(instance.get_run_ids()) == 3
    for run_id in instance.get_run_ids():
        assert instance.all_logs(run_id)


def test_unfinished_and_young_runs_stay(engine_database, instance, storage):
    for status in (
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.SUCCESS,
    ):
        instance.create_run_for_job(run_due_workflows, status=status)
    later = NOW + timedelta(days=10_000)
    assert prune_dagster(storage, Retention(runs=0, failed_runs=0), now=later).runs == 0
    assert prune_dagster(storage, Retention(), now=datetime.now(UTC)).runs == 0
    assert prune_dagster(storage, Retention(), now=later).runs == 1
    assert len(instance.get_run_ids()) == 2


def test_a_database_without_dagster_storage_is_not_pruned(database):
    assert prune_dagster(database, Retention(), now=NOW).runs == 0


def test_the_queries_fit_dagsters_storage(instance, storage):
    assert set(dagster_queries()) == {
        "has_dagster_storage", "runs_with_latest_events", "prune_runs", "prune_ticks",
        "count_prunable", "storage_size", "text_columns",
    }  # fmt: skip
    assert pruning_db.has_storage(storage)
    assert pruning_db.runs_to_keep(storage) == []
