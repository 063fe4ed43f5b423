"""Alerts of failed jobs: notified once, and resolved when the job succeeds again."""

# No `from __future__ import annotations`: Dagster reads the types of an op's parameters.
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from drip_pipeline.definitions import build_definitions
from drip_pipeline.orchestration.jobs.campaign_jobs import PauseForm
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.orchestration.run_incidents import resolve_recovered
from sensors.alerts import alerts
from tests.http_servers import HttpScript, http_servers
from tests.orchestration.running import filled_in, report_failure, value


@pytest.fixture
def chat(engine_database, monkeypatch):
    with http_servers() as servers:
        script = servers.start()
        monkeypatch.setenv("DRIP_DELIVERY", "send")
        monkeypatch.setenv("DRIP_ALERT_WEBHOOK", script.url)
        yield script


class Switch(dg.Config):
    """Whether the job breaks."""

    breaks: bool
    cause: str = "batch 2 of 10 failed: the relay refused ada@example.com"


@dg.op
def work(config: Switch) -> None:
    if config.breaks:
        raise dg.Failure(config.cause)


@dg.job
def sometimes() -> None:
    work()


def ran(instance: dg.DagsterInstance, *, breaks: bool, **cause: str) -> dg.ExecuteInProcessResult:
    return sometimes.execute_in_process(
        run_config={"ops": {"work": {"config": {"breaks": breaks, **cause}}}},
        instance=instance,
        raise_on_error=False,
    )


def texts(chat: HttpScript) -> list[str]:
    return [request.json["text"] for request in chat.requests]


def test_a_job_that_keeps_failing_is_notified_once_with_its_cause(engine_database, instance, chat):
    for _ in range(3):
        last = ran(instance, breaks=True)
        report_failure(instance, last)
    (text,) = texts(chat)
    assert "A run of sometimes failed: step work: batch 2 of 10 failed" in text
    assert "re-execute from failure" in text
    assert "ada@" not in text
    leads_to = value(engine_database, "SELECT what_to_do FROM campaign_incidents")
    assert leads_to.startswith(f"Open run {last.run_id} in Dagster")


def test_another_cause_in_the_same_job_is_another_incident_with_a_link(
    engine_database, instance, chat, monkeypatch
):
    monkeypatch.setenv("DRIP_DAGSTER_URL", "https://dagster.example.com/")
    for cause in ("batch 2 of 10 failed: no relay", "batch 7 of 12 failed: no relay", "disk full"):
        last = ran(instance, breaks=True, cause=cause)
        report_failure(instance, last)
    first, second = texts(chat)
    assert "batch 2 of 10 failed: no relay" in first
    assert "disk full" in second
    assert f"https://dagster.example.com/runs/{last.run_id}" in second
    now = datetime.now(UTC)
    ran(instance, breaks=False)
    assert resolve_recovered(instance, engine_database, now) == 2


def test_a_job_that_refuses_the_input_of_its_operator_alerts_nobody(
    engine_database, instance, chat
):
    job = build_definitions().resolve_job_def("pause_campaign")
    refused = job.execute_in_process(
        run_config=filled_in(PauseForm(campaign="No such")), instance=instance, raise_on_error=False
    )
    assert not refused.success
    report_failure(instance, refused)
    assert chat.requests == []
    assert value(engine_database, "SELECT count(*) FROM campaign_incidents") == 0


def test_an_incident_is_resolved_when_the_job_succeeds_and_opened_again_later(
    engine_database, instance, chat
):
    report_failure(instance, ran(instance, breaks=True))
    now = datetime.now(UTC)
    assert resolve_recovered(instance, engine_database, now) == 0
    ran(instance, breaks=False)
    assert resolve_recovered(instance, engine_database, now) == 1
    assert resolve_recovered(instance, engine_database, now) == 0
    with engine_database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_incidents SET resolved_at = %s", [now - timedelta(hours=1)]
        )
    report_failure(instance, ran(instance, breaks=True))
    assert len(chat.requests) == 2


def test_the_sensor_reports_what_it_did(engine_database, instance, chat):
    with engine_database.transaction() as connection:
        connection.execute(
            "INSERT INTO channel_flow (transport, channel, refilled_at, updated_at, open_until) "
            "VALUES ('email', 'email', now(), now(), now())"
        )
    with dg.build_sensor_context(
        instance=instance, resources={"engine": EngineResource()}
    ) as context:
        said = alerts.evaluate_tick(context).skip_message
        quiet = alerts.evaluate_tick(context).skip_message
    assert (said, quiet) == ("1 incidents opened, 1 notices sent", "nothing new")
    assert value(engine_database, "SELECT kind FROM campaign_incidents") == "breaker_open"
