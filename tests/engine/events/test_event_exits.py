"""Unsubscriptions, complaints, bounces: nothing more is sent, and runs exit with a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from tests.engine.events.incoming import LATER, ingest, rows, value
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    an_event,
    enrolled,
    people_inside,
    run_until_idle,
    sent_messages,
)
from tests.engine.graphs import email, end, graph, trigger, wait_for, wait_hours

ADDRESS = "person1@example.com"
PHONE = "+15550100"
TWO_MAILS = graph(
    trigger("mail"),
    email("mail", default="pause"),
    wait_hours("pause", 24, default="again"),
    email("again", default="end"),
    end(),
)


def after_one_mail(database: Database, count: int = 2) -> list[Any]:
    """People between two mails, and the messages they got."""
    campaign, _ = people_inside(database, TWO_MAILS, count)
    with database.transaction() as connection:
        return sent_messages(connection, campaign)


def exits(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT k.email, s.workflow_status, s.exit_reason, e.status "
        "FROM campaign_workflow_states s JOIN campaign_enrollments e ON e.id = s.id "
        "JOIN contacts k ON k.id = s.contact_id ORDER BY k.email, s.started_at",
    )


def suppressions(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT address, channel, campaign_id, reason, source FROM campaign_suppressions "
        "ORDER BY address, channel",
    )


@pytest.mark.parametrize(
    ("event_type", "exit_reason", "status", "reason"),
    [
        ("email_unsubscribed", "unsubscribed", "unsubscribed", "unsubscribed"),
        ("email_complained", "suppressed", "unsubscribed", "complained"),
        ("email_bounced", "suppressed", "bounced", "bounced"),
    ],
)
def test_an_unsubscribed_contact_exits_at_once_and_is_suppressed(
    database, event_type, exit_reason, status, reason
):
    sent, _ = after_one_mail(database)
    event = an_event(1, event_type, message_id=sent.message_id)
    report = ingest(database, [event], provider="postal")
    assert (report.ended, report.suppressed) == (1, 1)
    assert exits(database) == [
        ("person1@example.com", "exited", exit_reason, status),
        ("person2@example.com", "waiting", None, "active"),
    ]
    assert suppressions(database) == [(ADDRESS, "email", None, reason, "postal")]
    assert rows(
        database,
        "SELECT enrollment_id, event_data, created_at FROM campaign_events "
        "WHERE event_type = 'enrollment_exited'",
    ) == [(sent.enrollment_id, {"reason": exit_reason}, LATER)]
    again = ingest(database, [event | {"event_id": "another"}])
    assert (again.accepted, again.ended, again.suppressed) == (1, 0, 0)
    run_until_idle(database, NOW + timedelta(days=2))
    assert value(
        database, "SELECT count(*) FROM recorded_messages WHERE node_id = 'again'"
    ) == 1  # fmt: skip


def test_a_contact_that_opted_out_of_sms_continues_without_sms(database):
    sent, _ = after_one_mail(database)
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET phone = %s WHERE id = %s", [PHONE, sent.contact_id])
    event = an_event(1, "sms_opted_out", email=ADDRESS, campaign="Welcome")
    report = ingest(database, [event], provider="postal")
    assert (report.ended, report.suppressed) == (0, 1)
    assert suppressions(database) == [(PHONE, "sms", None, "unsubscribed", "postal")]
    assert exits(database)[0] == (ADDRESS, "waiting", None, "active")


@pytest.mark.parametrize(
    "kind", ["soft", "Transient", "Soft Bounce", "soft_bounce", "Undetermined", "anything"]
)
def test_a_transient_bounce_ends_no_run(database, kind):
    sent, _ = after_one_mail(database)
    event = an_event(1, "email_bounced", message_id=sent.message_id, data={"bounce_type": kind})
    report = ingest(database, [event])
    assert (report.accepted, report.ended, report.suppressed) == (1, 0, 0)
    assert suppressions(database) == []
    assert value(
        database, "SELECT count(*) FROM campaign_message_outcomes WHERE bounced_at IS NOT NULL"
    ) == 1  # fmt: skip


@pytest.mark.parametrize("kind", ["hard", "Permanent", None, "hard_bounce"])
def test_a_bounce_not_reported_as_transient_is_permanent(database, kind):
    sent, _ = after_one_mail(database)
    data = {"bounce_type": kind} if kind else {}
    assert ingest(
        database, [an_event(1, "email_bounced", message_id=sent.message_id, data=data)]
    ).ended == 1  # fmt: skip


def test_unsubscribing_from_one_campaign_leaves_other_runs_to_the_eligibility_check(database):
    sent, _ = after_one_mail(database)
    with database.transaction() as connection:
        other = a_published_campaign(connection, TWO_MAILS, name="Other")
        enrolled(connection, other, [sent.contact_id], at=NOW + timedelta(minutes=1))
    event = an_event(1, "email_unsubscribed", message_id=sent.message_id)
    assert ingest(database, [event]).ended == 1
    run_until_idle(database, LATER)
    assert [row[1:] for row in exits(database) if row[0] == "person1@example.com"] == [
        ("exited", "unsubscribed", "unsubscribed"),
        ("exited", "unsubscribed", "unsubscribed"),
    ]
    assert value(
        database,
        "SELECT event_data ->> 'reason' FROM campaign_events WHERE event_type = 'message_skipped'",
    ) == "unsubscribed"  # fmt: skip


def test_unsubscribing_from_everything_ends_every_run_of_the_contact(database):
    sent, _ = after_one_mail(database)
    with database.transaction() as connection:
        other = a_published_campaign(connection, TWO_MAILS, name="Other")
        enrolled(connection, other, [sent.contact_id], at=NOW + timedelta(minutes=1))
    report = ingest(database, [an_event(1, "email_unsubscribed", email="person1@example.com")])
    assert (report.ended, report.suppressed) == (2, 1)
    assert {row[1] for row in exits(database) if row[0] == "person2@example.com"} == {"waiting"}


def test_a_completed_run_keeps_its_exit_reason(database):
    sent, _ = after_one_mail(database)
    run_until_idle(database, NOW + timedelta(days=2))
    event = an_event(1, "email_unsubscribed", message_id=sent.message_id)
    report = ingest(database, [event], now=NOW + timedelta(days=3))
    assert (report.ended, report.suppressed) == (0, 1)
    assert exits(database)[0] == ("person1@example.com", "completed", None, "completed")


def test_an_exiting_run_is_not_resumed_by_an_event_of_the_same_chunk(database):
    waiting = graph(
        trigger("mail"),
        email("mail", default="wait"),
        wait_for("wait", "email_unsubscribed", event="again", timeout="end"),
        email("again", default="end"),
        end(),
    )
    campaign, _ = people_inside(database, waiting, 1)
    with database.transaction() as connection:
        [sent] = sent_messages(connection, campaign)
    event = an_event(1, "email_unsubscribed", message_id=sent.message_id)
    report = ingest(database, [event])
    assert (report.ended, report.resumed) == (1, 0)


def test_a_pending_message_is_skipped_after_an_unsubscription(database):
    sent, _ = after_one_mail(database)
    with database.transaction() as connection:
        connection.execute("UPDATE drip_campaigns SET status = 'paused'")
    event = an_event(1, "email_unsubscribed", message_id=sent.message_id)
    ingest(database, [event], now=NOW + timedelta(days=2))
    with database.transaction() as connection:
        connection.execute("UPDATE drip_campaigns SET status = 'active'")
    run_until_idle(database, NOW + timedelta(days=2))
    again = "SELECT recipient FROM recorded_messages WHERE node_id = 'again'"
    assert rows(database, again) == [("person2@example.com",)]
