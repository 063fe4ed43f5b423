"""A/B tests through Dagster: judged, decided, checked, declared by hand, reported."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.ab_test_reports import ReportConfig
from assets.ab_test_results import EvaluationConfig
from drip_pipeline.db.connection import Database
from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.jobs.audit_ab_tests import AuditForm
from drip_pipeline.orchestration.jobs.job_form import JobForm
from drip_pipeline.orchestration.jobs.operator_jobs import DeclareForm
from drip_pipeline.orchestration.run_config import clock
from tests.engine.ab_tests.split_contacts import SplitTest, a_split_test, people
from tests.engine.factories import NOW, rows_of
from tests.orchestration.running import filled_in, value

LATER = NOW + timedelta(hours=1)


def run(
    name: str, instance: dg.DagsterInstance, form: JobForm | None = None, **configs: dg.Config
) -> dg.ExecuteInProcessResult:
    """A job of the code location at LATER."""
    job = build_definitions().resolve_job_def(name)
    config: Any = dg.RunConfig(ops=dict(configs), resources={"clock": clock(LATER)})
    if form is not None:
        config = filled_in(form, LATER)
    return job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)


def a_test(database: Database, name: str = "Welcome", better: int = 300) -> SplitTest:
    with database.transaction() as connection:
        test = a_split_test(connection, name=name)
        people(connection, test, "a", 1_000, opened=200)
        people(connection, test, "b", 1_000, opened=better)
    return test


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    materialization = result.asset_materializations_for_node(asset)[0]
    return {key: entry.value for key, entry in materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


def test_an_evaluation_names_its_run_and_its_decision_is_final(engine_database, instance):
    a_test(engine_database)
    result = run("evaluate_ab_tests", instance)
    assert result.success
    assert checks(result) == {
        "ab_counts": True, "ab_significance": True, "ab_pairs": True, "ab_outcomes": True,
        "ab_decisions": True,
    }  # fmt: skip
    shown = metadata(result, "ab_test_results")
    assert (shown["tests_evaluated"], shown["new_evaluations"]) == (1, 1)
    assert "b wins with an open rate of 30.00 %" in shown["verdicts"]
    assert metadata(result, "winner_decisions")["decisions_made"] == 1
    assert value(engine_database, "SELECT run_id FROM campaign_ab_evaluations") == result.run_id
    later = metadata(run("evaluate_ab_tests", instance), "ab_test_results")
    assert later["verdicts"].startswith("no test is running")
    assert value(engine_database, "SELECT winner_variant FROM campaign_ab_tests") == "b"


def test_one_campaign_can_be_evaluated_alone(engine_database, instance):
    a_test(engine_database, "Mine")
    a_test(engine_database, "Other")
    chosen = EvaluationConfig(campaign="Mine")
    assert run(
        "evaluate_ab_tests", instance, ab_test_results=chosen, winner_decisions=chosen
    ).success
    with engine_database.transaction() as connection:
        states = connection.execute(
            "SELECT c.name, t.status FROM campaign_ab_tests t "
            "JOIN drip_campaigns c ON c.id = t.campaign_id ORDER BY 1"
        ).fetchall()
    assert states == [("Mine", "decided"), ("Other", "running")]


def test_wrong_counts_decide_nothing(engine_database, instance):
    a_test(engine_database)
    with engine_database.transaction() as connection:
        connection.execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.total_clicked := NEW.total_sent + 1; RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE TRIGGER spoil BEFORE INSERT ON campaign_ab_test_results "
            "FOR EACH ROW EXECUTE FUNCTION spoil()"
        )
    result = run("evaluate_ab_tests", instance)
    assert not result.success
    assert not checks(result)["ab_counts"]
    assert value(engine_database, "SELECT count(*) FROM campaign_ab_decisions") == 0


def test_outcomes_that_differ_from_the_log_decide_nothing(engine_database, instance):
    a_test(engine_database)
    with engine_database.transaction() as connection:
        # The opens were not logged; the sending of one of those messages was.
        connection.execute(
            "INSERT INTO campaign_events (id, campaign_id, enrollment_id, event_type, node_id, "
            "created_at, workspace_id, campaign_version, message_id) "
            "SELECT o.message_id, o.campaign_id, o.enrollment_id, 'email_sent', o.node_id, "
            "o.sent_at, o.workspace_id, 1, o.message_id FROM campaign_message_outcomes o "
            "WHERE o.first_opened_at IS NOT NULL LIMIT 1"
        )
    result = run("evaluate_ab_tests", instance)
    assert not result.success
    assert not checks(result)["ab_outcomes"]
    assert value(engine_database, "SELECT count(*) FROM campaign_ab_decisions") == 0


def test_a_winner_is_declared_from_the_launchpad_once(engine_database, instance):
    a_test(engine_database, better=205)
    declared = DeclareForm(campaign="Welcome", variant="a", reason="taste", decided_by="Ada")
    assert run("declare_winner", instance, declared).success
    event = instance.get_latest_materialization_event(dg.AssetKey("winner_decisions"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["dagster/row_count"].value == 1
    check = dg.AssetCheckKey(dg.AssetKey("winner_decisions"), "ab_decisions")
    (latest,) = instance.event_log_storage.get_latest_asset_check_execution_by_key([check]).values()
    assert latest.evaluation is not None
    assert latest.evaluation.passed
    second = DeclareForm(campaign="Welcome", variant="b", reason="no", decided_by="Bob")
    again = run("declare_winner", instance, second)
    assert not again.success
    (failed,) = [e for e in again.all_events if e.event_type_value == "STEP_FAILURE"]
    assert "was decided before: a won, decided by Ada" in str(failed.event_specific_data)
    with engine_database.transaction() as connection:
        assert len(rows_of(connection, "campaign_ab_decisions")) == 1


def test_a_campaign_is_audited_from_the_launchpad_as_of_a_past_time(engine_database, instance):
    a_test(engine_database)
    run("evaluate_ab_tests", instance)
    before = AuditForm(campaign="Welcome", as_of=(NOW + timedelta(minutes=1)).isoformat())
    result = run("audit_ab_tests", instance, before)
    assert result.success
    (output,) = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    shown: dict[str, Any] = {
        key: entry.value for key, entry in output.step_output_data.metadata.items()
    }
    assert "| s | 1 | collecting |" in shown["verdicts"]
    assert "| s | b | 1,000 | 1,000 | 0 |" in shown["variants"]
    assert shown["results"][0]["variants"][0]["total_opened"] == 0
    too_early = AuditForm(campaign="Welcome", as_of="2020-01-01")
    assert not run("audit_ab_tests", instance, too_early).success


def test_reports_are_written_with_their_diagrams_in_the_catalog(
    engine_database, instance, tmp_path
):
    a_test(engine_database, "Spring", better=205)
    a_test(engine_database, "Autumn", better=206)
    result = run("write_ab_reports", instance)
    assert result.success
    shown = metadata(result, "ab_test_reports")
    assert (shown["tests"], shown["pages_written"]) == (2, 2)
    assert shown["mailed"] == "not sent: DRIP_REPORT_TO is not set"
    overview = Path(shown["overview"])
    assert overview.parent == tmp_path / "reports"
    assert len(list(overview.parent.glob("*.html"))) == 3
    pictures = {key: text for key, text in shown.items() if ": " in key}
    assert len(pictures) == 10
    assert {key.partition(": ")[0] for key in pictures} == {"Spring, s", "Autumn, s"}
    for text in pictures.values():
        assert text.startswith("![")
        assert len(text) < 50_000
    alone = run("write_ab_reports", instance, ab_test_reports=ReportConfig(campaign="Spring"))
    assert metadata(alone, "ab_test_reports")["pages_written"] == 1


def test_the_overview_is_not_mailed_while_messages_are_recorded(
    engine_database, instance, monkeypatch
):
    monkeypatch.setenv("DRIP_REPORT_TO", "ada@example.com, bob@example.com")
    a_test(engine_database)
    shown = metadata(run("write_ab_reports", instance), "ab_test_reports")
    assert shown["mailed"] == "not sent: DRIP_DELIVERY is record"


@pytest.mark.parametrize(("cron", "taken"), [("30 7 * * 1", "30 7 * * 1"), ("daily", "0 6 * * *")])
def test_the_schedule_follows_the_setting(monkeypatch, cron, taken):
    from sensors.daily_reports import report_cron

    monkeypatch.setenv("DRIP_REPORT_CRON", cron)
    assert report_cron() == taken


def test_the_code_location_offers_checks_reports_and_their_schedule():
    definitions = build_definitions()
    repository = definitions.get_repository_def()
    assert "daily_reports" in {schedule.name for schedule in repository.schedule_defs}
    graph = repository.asset_graph
    decisions = graph.get(dg.AssetKey("winner_decisions"))
    assert decisions.parent_keys == {dg.AssetKey("ab_test_results")}
    assert graph.get(dg.AssetKey("ab_test_reports")).parent_keys == {decisions.key}
    named = {key.name for key in graph.asset_check_keys}
    assert {"ab_counts", "ab_significance", "ab_pairs", "ab_outcomes", "ab_decisions"} <= named
