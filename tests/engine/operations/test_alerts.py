"""Alerts: each incident is sent once per route, with what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.operations.incidents import Notice
from drip_pipeline.engine.ab_tests.declare import declare
from drip_pipeline.engine.operations import incidents
from drip_pipeline.engine.operations.alerts import (
    MAX_ATTEMPTS,
    WatchReport,
    mail_of,
    send_test_notifications,
    watch,
)
from drip_pipeline.settings import Secret, Settings
from tests.engine.ab_tests.split_contacts import a_split_test
from tests.engine.factories import NOW, a_published_campaign, contacts, enrolled
from tests.engine.graphs import end, graph, trigger, wait_hours
from tests.http_servers import HttpScript, Reply, http_servers, in_turn
from tests.smtp_sink import Sink, smtp_sink

FLOW = graph(trigger("rest"), wait_hours("rest", 24, default="end"), end())
LATE = NOW + timedelta(minutes=20)


@pytest.fixture(scope="module")
def mail() -> Iterator[Sink]:
    with smtp_sink() as sink:
        yield sink


@pytest.fixture
def chat() -> Iterator[HttpScript]:
    with http_servers() as servers:
        yield servers.start()


def sending(mail: Sink | None = None, chat: HttpScript | None = None) -> Settings:
    mail_settings: dict[str, Any] = {}
    if mail is not None:
        mail.received.clear()
        mail_settings = {
            "smtp_url": Secret(f"smtp://127.0.0.1:{mail.port}"),
            "alert_to": ("ops@example.com", "night@example.com"),
        }
    webhook = None if chat is None else Secret(f"{chat.url}/services/secret-path")
    return Settings(delivery="send", alert_webhook=webhook, **mail_settings)


def due_enrollment(database: Database, name: str = "Welcome") -> None:
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, FLOW, name=name)
        people = contacts(connection, campaign.workspace_id, 1, prefix=name.lower())
        enrolled(connection, campaign, people)


def postpone_all_states(database: Database) -> None:
    run(database, "UPDATE campaign_workflow_states SET next_execution_at = '2030-01-01'")


def run(database: Database, statement: str, *params: Any) -> None:
    with database.transaction() as connection:
        connection.execute(statement, params)


def a_transport(database: Database, transport: str, **columns: Any) -> None:
    named = {
        "transport": transport,
        "channel": "email",
        "refilled_at": NOW,
        "updated_at": NOW,
        **columns,
    }
    names, marks = ", ".join(named), ", ".join(["%s"] * len(named))
    run(database, f"INSERT INTO channel_flow ({names}) VALUES ({marks})", *named.values())


def texts(chat: HttpScript) -> list[str]:
    return [request.json["text"] for request in chat.requests]


def test_a_stuck_backlog_is_sent_once_by_each_route_with_what_to_do(database, mail, chat):
    due_enrollment(database)
    settings = sending(mail, chat)
    assert watch(database, settings, now=NOW) == WatchReport()
    assert watch(database, settings, now=LATE) == WatchReport(opened=1, notified=2)
    for minute in range(1, 60):
        assert watch(database, settings, now=LATE + timedelta(minutes=minute)) == WatchReport()
    assert sorted(m.recipient for m in mail.received) == ["night@example.com", "ops@example.com"]
    (text,) = texts(chat)
    assert "Due enrollments have waited for 20 minutes; the oldest is of campaign 'Welcome'" in text
    assert "What to do" in text
    assert "drip run" in text


def test_an_incident_is_resolved_and_opened_again_only_after_a_while(database, chat):
    due_enrollment(database)
    settings = sending(chat=chat)
    watch(database, settings, now=LATE)
    postpone_all_states(database)
    assert watch(database, settings, now=LATE + timedelta(minutes=1)).resolved == 1
    run(database, "UPDATE campaign_workflow_states SET next_execution_at = %s", NOW)
    # Back within half an hour: the same incident still.
    assert watch(database, settings, now=LATE + timedelta(minutes=2)) == WatchReport()
    postpone_all_states(database)
    watch(database, settings, now=LATE + timedelta(minutes=3))
    run(database, "UPDATE campaign_workflow_states SET next_execution_at = %s", NOW)
    assert watch(database, settings, now=LATE + timedelta(hours=2)).opened == 1
    first, *later = texts(chat)
    assert first.startswith("*backlog stuck*: Due enrollments")
    assert sorted(text.partition(": ")[0] for text in later) == [
        "*Resolved, backlog stuck*", "*backlog stuck*",
    ]  # fmt: skip


def test_the_end_of_an_incident_is_sent_once_by_the_routes_that_reported_it(database, mail, chat):
    due_enrollment(database)
    settings = sending(mail=mail, chat=chat)
    watch(database, settings, now=LATE)
    postpone_all_states(database)
    for minutes in (1, 2, 5, 6):
        watch(database, settings, now=LATE + timedelta(minutes=minutes))
    assert len(texts(chat)) == 2
    assert len(mail.received) == 4
    assert len({message.message_id for message in mail.received}) == 4
    # It recurs after its end was sent: who read that has to know.
    run(database, "UPDATE campaign_workflow_states SET next_execution_at = %s", NOW)
    for minutes in (7, 8):
        watch(database, settings, now=LATE + timedelta(minutes=minutes))
    assert [text.startswith("*Resolved") for text in texts(chat)] == [False, True, False]


def test_an_end_before_the_first_notice_was_sent_is_sent_after_it(database, chat):
    due_enrollment(database)
    settings = sending(chat=chat)
    chat.answer = in_turn(Reply(500), Reply(200))
    watch(database, settings, now=LATE)
    postpone_all_states(database)
    watch(database, settings, now=LATE + timedelta(minutes=1))
    for minutes in (2, 3, 10, 11):
        watch(database, settings, now=LATE + timedelta(minutes=minutes))
    assert [text.startswith("*Resolved") for text in texts(chat)] == [False, False, True]


def test_paused_and_unpublished_campaigns_are_no_backlog(database, chat):
    due_enrollment(database)
    run(database, "UPDATE drip_campaigns SET status = 'paused'")
    assert watch(database, sending(chat=chat), now=LATE) == WatchReport()
    run(database, "UPDATE drip_campaigns SET status = 'active', published_version = NULL")
    assert watch(database, sending(chat=chat), now=LATE).opened == 1
    current = incidents.current(database, now=LATE, backlog_minutes=15)
    assert [incident.kind for incident in current] == [incidents.NOT_PUBLISHED]


def test_open_breakers_and_disabled_endpoints_name_the_transport_and_the_command(database, chat):
    error = "550 no user ada@example.com here"
    a_transport(database, "email", open_until=NOW, last_error=error)
    a_transport(database, "webhook/crm", channel="webhook", disabled_at=NOW, last_error="410")
    a_transport(database, "sms/main", channel="sms")
    assert watch(database, sending(chat=chat), now=NOW).opened == 2
    breaker, gone = sorted(texts(chat))
    assert "breaker of email is open" in breaker
    assert "drip channels reset email" in breaker
    assert "ada@" not in breaker
    assert "Endpoint webhook/crm answered that it is gone" in gone
    run(database, "UPDATE channel_flow SET open_until = NULL, disabled_at = NULL")
    assert watch(database, sending(chat=chat), now=NOW + timedelta(minutes=1)).resolved == 2


def test_messages_in_doubt_are_reported_per_channel(database, chat):
    run(
        database,
        "INSERT INTO campaign_deliveries (id, workspace_id, campaign_id, campaign_version, "
        "enrollment_id, contact_id, node_id, channel, status, created_at) "
        "SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), "
        "gen_random_uuid(), 'hello', CASE WHEN n < 3 THEN 'email' ELSE 'sms' END, 'unknown', %s "
        "FROM generate_series(1, 3) n",
        NOW,
    )
    assert watch(database, sending(chat=chat), now=NOW).opened == 2
    assert sorted(text.split(": ")[1][:28] for text in texts(chat)) == [
        "1 sms message has an unknown",
        "2 email messages have an unk",
    ]


def test_a_sample_ratio_mismatch_lasts_and_a_decision_is_sent_once(database, chat):
    with database.transaction() as connection:
        a_split_test(connection, name="Spring")
        a_split_test(connection, name="Autumn")
    declare(database, "Autumn", variant="b", reason="better", decided_by="ada@example.com", now=NOW)
    run(database, "UPDATE campaign_ab_tests SET state = 'srm_blocked' WHERE status = 'running'")
    settings = sending(chat=chat)
    assert watch(database, settings, now=NOW).notified == 2
    assert watch(database, settings, now=NOW + timedelta(hours=5)) == WatchReport()
    decided, skewed = sorted(texts(chat))
    assert "campaign 'Autumn' at split 's' was decided: b won (better)" in decided
    assert "'Spring'" in skewed
    assert "do not match the expected split" in skewed
    assert "drip ab clear" in skewed


def test_a_failing_route_is_retried_until_it_works(database, chat):
    chat.answer = in_turn(Reply(500), Reply(drops=True), Reply(200))
    due_enrollment(database)
    settings = sending(chat=chat)
    first = watch(database, settings, now=LATE)
    assert first == WatchReport(opened=1, failed=1, errors=("webhook: answered with 500",))
    assert watch(database, settings, now=LATE + timedelta(seconds=30)) == WatchReport()
    assert watch(database, settings, now=LATE + timedelta(minutes=2)).failed == 1
    assert watch(database, settings, now=LATE + timedelta(minutes=9)) == WatchReport(notified=1)
    assert watch(database, settings, now=LATE + timedelta(hours=9)) == WatchReport()


def test_a_route_that_never_works_is_given_up_with_its_error(database, chat):
    chat.answer = in_turn(Reply(403))
    due_enrollment(database)
    settings, now = sending(chat=chat), LATE
    for _ in range(MAX_ATTEMPTS + 3):
        watch(database, settings, now=now)
        now += timedelta(hours=2)
    assert len(chat.requests) == MAX_ATTEMPTS
    ((notified_at, error),) = rows(
        database, "SELECT notified_at, last_error FROM campaign_incident_notices"
    )
    assert (notified_at, error) == (None, "answered with 403")


def test_the_mail_of_a_resolution_says_so_and_when():
    notice = Notice(
        uuid4(), "mail", "breaker_open", "The breaker of email is open: no relay", "Wait.", NOW,
        NOW + timedelta(minutes=4), "resolved", 2,
    )  # fmt: skip
    mail = mail_of(notice, "drip@example.com", "ops@example.com")
    assert mail.subject == "[drip] Resolved: The breaker of email is open"
    assert mail.text.startswith("Resolved at 2026-03-02 09:04 UTC: The breaker of email is open")
    opened = mail_of(
        notice._replace(reports="opened", number=1), "drip@example.com", "o@example.com"
    )
    assert opened.delivery_id != mail.delivery_id
    assert "What to do: Wait." in opened.text


def test_concurrent_watchers_send_once(database, chat):
    due_enrollment(database)
    settings = sending(chat=chat)
    together = threading.Barrier(4)

    def look() -> None:
        together.wait(10)
        watch(database, settings, now=LATE)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(chat.requests) == 1
    assert rows(database, "SELECT count(*) FROM campaign_incidents") == [(1,)]


def test_in_record_mode_incidents_are_stored_and_nothing_is_sent(database, chat):
    due_enrollment(database)
    settings = Settings(alert_webhook=Secret(chat.url), alert_to=("ops@example.com",))
    assert watch(database, settings, now=LATE) == WatchReport(opened=1)
    assert chat.requests == []
    assert send_test_notifications(settings, now=NOW) == {}


def test_a_missing_mail_relay_is_named(database):
    settings = Settings(delivery="send", alert_to=("ops@example.com",))
    due_enrollment(database)
    seen = watch(database, settings, now=LATE)
    assert (seen.opened, seen.failed) == (1, 1)
    assert "DRIP_SMTP_URL" in seen.errors[0]


def test_a_test_notification_uses_every_route(mail, chat):
    assert send_test_notifications(sending(mail, chat), now=NOW) == {"mail": None, "webhook": None}
    assert "This is a test notification" in texts(chat)[0]


def rows(database: Database, statement: str, *params: Any) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(statement, params).fetchall()
