"""The minute job on real campaigns: all enrollments advance, and the run reports its work."""

from __future__ import annotations

from datetime import timedelta

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.orchestration.metadata.run import BATCH_LOG, EVENT_LOG, MESSAGE_OUTCOMES
from tests.engine.factories import NOW
from tests.engine.graphs import add_tag, end, graph, trigger
from tests.orchestration.running import (
    due_enrollments,
    minute_job,
    run_minute,
    states_by_status,
    steps,
    value,
)

DAY = timedelta(days=1)


def test_a_run_advances_all_due_enrollments_and_sends_their_messages(engine_database, instance):
    due_enrollments(engine_database, 120)
    due_enrollments(engine_database, 30, name="Win-back")
    assert run_minute(instance).success
    assert states_by_status(engine_database) == {"waiting": 150}
    assert value(engine_database, "SELECT count(*) FROM recorded_messages") == 150
    assert run_minute(instance, NOW + DAY).success
    assert states_by_status(engine_database) == {"completed": 150}
    with engine_database.transaction() as connection:
        for row in states_db.population(connection):
            assert row.entered == row.completed in (120, 30)


def test_the_batch_log_names_the_run_and_the_step_of_every_batch(
    engine_database, instance, monkeypatch
):
    monkeypatch.setenv("DRIP_BATCH_SIZE", "50")
    due_enrollments(engine_database, 120)
    result = run_minute(instance)
    with engine_database.transaction() as connection:
        rows = connection.execute("SELECT DISTINCT run_id, step_key FROM campaign_batches")
        assert set(rows.fetchall()) == {
            (result.run_id, "advance_batch[1_of_3]"),
            (result.run_id, "advance_batch[2_of_3]"),
            (result.run_id, "advance_batch[3_of_3]"),
            (result.run_id, "deliver_email"),
        }


def test_batches_have_every_enrollment_once(engine_database, instance, monkeypatch):
    monkeypatch.setenv("DRIP_BATCH_SIZE", "100")
    due_enrollments(engine_database, 730)
    assert run_minute(instance).success
    moved = value(engine_database, "SELECT sum(size) FROM campaign_batches WHERE kind = 'advance'")
    assert moved == 730
    assert value(engine_database, "SELECT count(*) FROM recorded_messages") == 730


def test_messages_are_sent_when_no_enrollment_is_due(engine_database, instance):
    due_enrollments(engine_database, 20)
    advance_batch(engine_database, now=NOW, batch_size=100)
    result = run_minute(instance)
    assert steps(result, "STEP_SUCCESS") == [
        "plan",
        "find_due_messages",
        "deliver_email",
        "reconcile",
    ]
    assert value(engine_database, "SELECT count(*) FROM recorded_messages") == 20


def test_without_due_work_only_the_planning_steps_run(engine_database, instance):
    result = run_minute(instance)
    assert result.success
    assert steps(result, "STEP_SUCCESS") == ["plan", "find_due_messages", "reconcile"]
    assert value(engine_database, "SELECT count(*) FROM campaign_batches") == 0


def test_work_that_exceeds_the_time_budget_stays_due(engine_database, instance, monkeypatch):
    monkeypatch.setenv("DRIP_BATCH_SIZE", "10")
    due_enrollments(
        engine_database, 100, graph(trigger("tag"), add_tag("tag", "x", default="end"), end())
    )
    assert run_minute(instance, budget_seconds=1e-6, max_batches=2).success
    assert states_by_status(engine_database) == {"completed": 20, "running": 80}
    assert run_minute(instance, max_batches=2).success
    assert states_by_status(engine_database) == {"completed": 100}


def test_the_run_reports_materializations_of_the_tables_that_it_wrote(engine_database, instance):
    due_enrollments(engine_database, 40)
    run_minute(instance)
    (log,) = instance.fetch_materializations(EVENT_LOG, limit=10).records
    assert log.asset_materialization is not None
    shown = {key: entry.value for key, entry in log.asset_materialization.metadata.items()}
    assert shown["events"] == 120
    assert "| email_sent | 40 |" in shown["by_type"]
    (ledger,) = instance.fetch_materializations(BATCH_LOG, limit=10).records
    assert ledger.asset_materialization is not None
    assert ledger.asset_materialization.metadata["batches"].value == 2
    (messages,) = instance.fetch_materializations(MESSAGE_OUTCOMES, limit=10).records
    assert messages.asset_materialization is not None
    assert messages.asset_materialization.metadata["messages"].value == 40
    assert messages.asset_materialization.metadata["sent_per_second"].value > 0


def test_runs_and_events_are_stored_in_postgresql(engine_database, instance, dagster_database):
    result = run_minute(instance)
    stored = Database(dagster_database)
    with stored, stored.transaction() as connection:
        found = connection.execute(
            "SELECT count(*) FROM event_logs WHERE run_id = %s", [result.run_id]
        ).fetchone()
    assert found is not None
    assert found[0] == len(instance.all_logs(result.run_id)) > 10


def test_events_and_configuration_do_not_show_the_database_password(engine_database, instance):
    due_enrollments(engine_database, 5)
    result = run_minute(instance)
    password = engine_database.url.split(":")[2].partition("@")[0]
    shown = [str(event.to_json()) for event in instance.all_logs(result.run_id)]
    run = instance.get_run_by_id(result.run_id)
    assert len(password) > 10
    assert not [line for line in shown if password in line]
    assert password not in str(run.run_config) + str(run.tags)


def test_an_invalid_time_fails_the_run_before_any_work(engine_database, instance):
    due_enrollments(engine_database, 5)
    result = minute_job().execute_in_process(
        run_config={"resources": {"clock": {"config": {"now": "yesterday"}}}},
        instance=instance,
        raise_on_error=False,
    )
    assert not result.success
    assert states_by_status(engine_database) == {"running": 5}
