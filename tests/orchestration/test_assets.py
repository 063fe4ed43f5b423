"""Assets call their use cases and report the results; checks detect violated invariants."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.engine.operations.invariants import INVARIANTS
from drip_pipeline.orchestration.jobs.job_form import JobForm
from drip_pipeline.orchestration.jobs.operator_jobs import DeclareForm, RequeueForm
from drip_pipeline.orchestration.partitions import range_tags
from drip_pipeline.orchestration.run_config import clock
from tests.engine.ab_tests.split_contacts import SplitTest, a_split_test, people
from tests.engine.factories import NOW, rows_of, run_until_idle
from tests.orchestration.running import WELCOME, due_enrollments, filled_in, run_minute, value

LATER = NOW + timedelta(hours=1)
DAY = NOW.date()


def run(
    instance: dg.DagsterInstance,
    name: str,
    *,
    ops: dict[str, Any] | None = None,
    form: JobForm | None = None,
    tags: dict[str, str] | None = None,
) -> dg.ExecuteInProcessResult:
    """Run a job of the code location with its clock an hour after NOW."""
    job = build_definitions().resolve_job_def(name)
    if form is not None:
        return job.execute_in_process(
            run_config=filled_in(form, LATER), instance=instance, raise_on_error=False
        )
    config = dg.RunConfig(
        ops={key: {"config": given} for key, given in (ops or {}).items()},
        resources={"clock": clock(LATER)},
    )
    return job.execute_in_process(
        run_config=config, instance=instance, tags=tags, raise_on_error=False
    )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Return the metadata of the asset's materialization."""
    (event,) = [
        event
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(asset)
    ][-1:]
    entries = event.step_materialization_data.materialization.metadata
    return {key: entry.value for key, entry in entries.items()}


def by_partition(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dict[str, Any]]:
    """Return the metadata of the asset's materialization of each partition."""
    return {
        str(made.partition): {key: entry.value for key, entry in made.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(asset)
        for made in [event.step_materialization_data.materialization]
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def a_clear_difference(database: Database, **config: Any) -> SplitTest:
    with database.transaction() as connection:
        test = a_split_test(connection, name="Subjects", **config)
        people(connection, test, "a", 1_000, opened=200)
        people(connection, test, "b", 1_000, opened=300)
    return test


# --- metrics --------------------------------------------------------------------------------------


@pytest.fixture
def two_days_of_mail(engine_database: Database) -> Database:
    """Send a message to each of 40 enrollments on each of two days."""
    due_enrollments(engine_database, 40, WELCOME)
    run_until_idle(engine_database)
    run_until_idle(engine_database, NOW + timedelta(days=1))
    return engine_database


def test_any_range_of_days_is_computed_in_one_run(two_days_of_mail, instance):
    tags = range_tags(DAY - timedelta(days=5), DAY + timedelta(days=2))
    result = run(instance, "compute_daily_metrics", tags=tags)
    assert result.success
    shown = by_partition(result, "daily_campaign_metrics")
    assert {day: entries["messages_sent"] for day, entries in shown.items()} == {
        (DAY + timedelta(days=offset)).isoformat(): 40 if offset in (0, 1) else 0
        for offset in range(-5, 3)
    }
    assert "| Welcome | 40 |" in shown[DAY.isoformat()]["preview"]
    assert shown[(DAY - timedelta(days=1)).isoformat()]["preview"] == "*none*"
    assert shown[(DAY - timedelta(days=1)).isoformat()]["dagster/partition_row_count"] == 0
    sent = value(two_days_of_mail, "SELECT sum(sent) FROM campaign_daily_metrics")
    assert sent == 80
    for asset in ("daily_campaign_metrics", "daily_metrics_files"):
        assert len(instance.get_materialized_partitions(dg.AssetKey(asset))) == 8
    files = by_partition(result, "daily_metrics_files")
    assert sum(entries["changed"] == "yes" for entries in files.values()) == 2
    folder = files[DAY.isoformat()]["folder"]
    written = sorted(path.parent.name for path in Path(folder).glob("*/metrics.parquet"))
    assert written == [f"day={DAY}", f"day={DAY + timedelta(days=1)}"]


def test_a_lost_day_is_backfilled_with_the_same_rows(two_days_of_mail, instance):
    both = range_tags(DAY, DAY + timedelta(days=1))
    run(instance, "compute_daily_metrics", tags=both)
    with two_days_of_mail.transaction() as connection:
        before = rows_of(connection, "campaign_daily_metrics", "metric_date, node_id")
        connection.execute("DELETE FROM campaign_daily_metrics WHERE metric_date = %s", [DAY])
    job = build_definitions().resolve_job_def("compute_daily_metrics")
    again = job.execute_in_process(partition_key=DAY.isoformat(), instance=instance)
    assert again.success
    with two_days_of_mail.transaction() as connection:
        assert rows_of(connection, "campaign_daily_metrics", "metric_date, node_id") == before


def test_the_job_checks_the_metrics_that_it_wrote(two_days_of_mail, instance):
    result = run(instance, "compute_daily_metrics", tags=range_tags(DAY, DAY + timedelta(days=1)))
    results = checks(result)
    assert {name: check.passed for name, check in results.items()} == {
        "metrics_match_outcomes": True,
        "rates": True,
        "computed_in_time": True,
    }


def test_materializing_outcomes_corrects_days_from_the_log(two_days_of_mail, instance):
    with two_days_of_mail.transaction() as connection:
        connection.execute("UPDATE campaign_message_outcomes SET delivered_at = sent_at")
    job = build_definitions().resolve_implicit_global_asset_job_def()
    config = {"first_day": DAY.isoformat(), "last_day": DAY.isoformat()}
    result = job.execute_in_process(
        asset_selection=[dg.AssetKey("message_outcomes")],
        run_config={"ops": {"message_outcomes": {"config": config}}},
        instance=instance,
    )
    shown = metadata(result, "message_outcomes")
    assert shown["corrected"] == shown["messages"] == 40
    wrong = "SELECT count(*) FROM campaign_message_outcomes WHERE delivered_at IS NOT NULL"
    assert value(two_days_of_mail, wrong) == 40  # those of the other day, which was not requested


def test_impossible_metrics_are_not_passed_on(two_days_of_mail, instance):
    with two_days_of_mail.transaction() as connection:
        connection.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.opened := NEW.sent + 1; RETURN NEW; END $$;"
            "CREATE TRIGGER spoil BEFORE INSERT ON campaign_daily_metrics "
            "FOR EACH ROW EXECUTE FUNCTION spoil()"
        )
    result = run(instance, "compute_daily_metrics", tags=range_tags(DAY, DAY))
    assert not result.success
    assert not checks(result)["rates"].passed
    assert instance.get_materialized_partitions(dg.AssetKey("daily_metrics_files")) == set()


# --- experiments ----------------------------------------------------------------------------------


def test_an_evaluation_writes_results_and_makes_the_due_decision(engine_database, instance):
    test = a_clear_difference(engine_database)
    result = run(instance, "evaluate_ab_tests")
    assert result.success
    judged, decided = metadata(result, "ab_test_results"), metadata(result, "winner_decisions")
    assert judged["tests_evaluated"] == judged["new_evaluations"] == 1
    assert judged["dagster/row_count"] == 2
    assert "| Subjects | s |" in judged["preview"]
    assert decided["decisions_made"] == decided["dagster/row_count"] == 1
    assert "| Subjects | s | decided_winner | b |" in decided["preview"]
    run_id = value(
        engine_database,
        "SELECT run_id FROM campaign_ab_evaluations WHERE ab_test_id = %s",
        test.test_id,
    )
    assert run_id == result.run_id


def test_a_repeated_evaluation_stores_nothing_new(engine_database, instance):
    a_clear_difference(engine_database)
    run(instance, "evaluate_ab_tests")
    again = run(instance, "evaluate_ab_tests")
    assert metadata(again, "ab_test_results")["new_evaluations"] == 0
    assert metadata(again, "winner_decisions")["decisions_made"] == 0


def test_one_campaign_can_be_evaluated_alone(engine_database, instance):
    a_clear_difference(engine_database)
    with engine_database.transaction() as connection:
        other = a_split_test(connection, name="Senders")
        people(connection, other, "a", 10, opened=1)
        people(connection, other, "b", 10, opened=1)
    named = {"campaign": "Senders"}
    result = run(
        instance, "evaluate_ab_tests", ops={"ab_test_results": named, "winner_decisions": named}
    )
    assert metadata(result, "ab_test_results")["tests_evaluated"] == 1
    assert metadata(result, "winner_decisions")["decisions_made"] == 0


def test_an_unknown_campaign_fails_with_one_sentence(engine_database, instance):
    result = run(instance, "evaluate_ab_tests", ops={"ab_test_results": {"campaign": "Nobody's"}})
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    shown = event.step_failure_data.user_failure_data
    assert shown is not None
    assert shown.description == 'evaluating A/B tests failed: no campaign "Nobody\'s"'
    assert shown.metadata["what_to_do"].value == "`drip campaign list` lists the campaigns."


# --- jobs for operators ---------------------------------------------------------------------------


def test_a_winner_is_declared_from_the_launchpad_with_a_reason(engine_database, instance):
    a_clear_difference(engine_database, auto_select_winner=False)
    form = DeclareForm(campaign="Subjects", variant="a", reason="the brand", decided_by="Ann")
    assert run(instance, "declare_winner", form=form).success
    other = DeclareForm(campaign="Subjects", variant="b", reason="the brand", decided_by="Ann")
    second = run(instance, "declare_winner", form=other)
    assert not second.success
    assert value(engine_database, "SELECT decided_by FROM campaign_ab_decisions") == "Ann"


def test_failed_enrollments_are_requeued_from_the_launchpad(engine_database, instance):
    due_enrollments(engine_database, 7)
    with engine_database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET workflow_status = 'failed', completed_at = %s,"
            " next_execution_at = NULL",
            [NOW],
        )
    form = RequeueForm(campaign="Welcome", since=NOW.isoformat())
    assert run(instance, "requeue_failed", form=form).success
    running = "SELECT count(*) FROM campaign_workflow_states WHERE workflow_status = 'running'"
    assert value(engine_database, running) == 7


# --- laws -----------------------------------------------------------------------------------------


def test_all_invariants_hold_after_real_work(two_days_of_mail, instance):
    run(instance, "compute_daily_metrics", tags=range_tags(DAY, DAY + timedelta(days=1)))
    results = checks(run(instance, "check_invariants"))
    assert set(INVARIANTS) <= set(results)
    assert {name for name, check in results.items() if not check.passed} == set()


def test_a_lost_enrollment_is_detected_and_counted(two_days_of_mail, instance):
    with two_days_of_mail.transaction() as connection:
        connection.execute(
            "DELETE FROM campaign_workflow_states WHERE id IN"
            " (SELECT id FROM campaign_workflow_states LIMIT 3)"
        )
    result = run(instance, "check_invariants")
    population = checks(result)["population"]
    assert not population.passed
    assert population.metadata["violations"].value == 1
    assert "| 40 |" in str(population.metadata["sample"].value)


# --- funnels --------------------------------------------------------------------------------------


def test_funnels_are_drawn_for_the_catalog(two_days_of_mail, instance):
    job = build_definitions().resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        asset_selection=[dg.AssetKey("campaign_funnels")],
        run_config=dg.RunConfig(resources={"clock": clock(LATER)}),
        instance=instance,
    )
    shown = metadata(result, "campaign_funnels")
    assert (shown["campaigns_drawn"], shown["campaigns_published"]) == (1, 1)
    assert "| Welcome | 1 | 40 | 0 | 40 | 0 |" in shown["funnels"]
    (diagram,) = [text for text in shown.values() if str(text).startswith("![Funnel of Welcome]")]
    assert "(data:image/svg+xml;base64," in diagram
    assert len(diagram) < 20_000


def test_a_broken_invariant_is_one_incident_until_it_holds_again(two_days_of_mail, instance):
    with two_days_of_mail.transaction() as connection:
        connection.execute("UPDATE campaign_message_outcomes SET delivered_at = sent_at")
    for _ in range(2):
        broken = checks(run(instance, "check_invariants"))["outcomes_match_log"]
        assert not broken.passed
    assert broken.asset_key == dg.AssetKey("stored_data")
    incidents = "SELECT sentence FROM campaign_incidents WHERE resolved_at IS NULL"
    assert value(two_days_of_mail, incidents) == (
        "Invariant broken: 80 rows violate `outcomes_match_log` (message outcomes agree with the"
        " event log)."
    )
    advice = value(two_days_of_mail, "SELECT what_to_do FROM campaign_incidents")
    assert "drip metrics rebuild" in advice
    with two_days_of_mail.transaction() as connection:
        connection.execute("UPDATE campaign_message_outcomes SET delivered_at = NULL")
    assert checks(run(instance, "check_invariants"))["outcomes_match_log"].passed
    open_ones = "SELECT count(*) FROM campaign_incidents WHERE resolved_at IS NULL"
    assert value(two_days_of_mail, open_ones) == 0


def test_the_result_of_a_check_survives_the_minute_job(two_days_of_mail, instance):
    run(instance, "check_invariants")
    run_minute(instance, NOW + timedelta(days=2))
    materialized = instance.get_latest_materialization_event(dg.AssetKey("stored_data"))
    assert materialized is None
