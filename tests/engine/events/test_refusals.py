"""Refusals (unsubscriptions, complaints, bounces) count whatever message or contact they name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest

from drip_pipeline.channels.sms.twilio_callbacks import InboundSms
from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.engine.events.drain_inbox import DrainReport, drain_inbox
from drip_pipeline.engine.events.inbound_sms import take_inbound_sms
from tests.domain.events.providers import samples
from tests.engine.events.incoming import LATER, ingest, mailed, rejects, rows, value
from tests.engine.factories import a_workspace, an_event, contacts

STRANGER = "stranger@example.net"
LAST_TRY = LATER + timedelta(hours=1)


def listed(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT w.name, x.address, x.channel, x.reason FROM campaign_suppressions x "
        "JOIN workspaces w ON w.id = x.workspace_id ORDER BY 1, 2, 3",
    )


def workspaces(database: Database, *names: str) -> None:
    with database.transaction() as connection:
        for name in names:
            a_workspace(connection, name)


def drained(
    database: Database, provider: str, *payloads: Any, workspace: str | None = None
) -> list[DrainReport]:
    """The reports of all tries of these payloads."""
    context = {"workspace": workspace} if workspace else {}
    with database.transaction() as connection:
        inbox_db.append(
            connection, [Arrival(provider, orjson.dumps(p), LATER, context) for p in payloads]
        )
    return [drain_inbox(database, now=LATER + timedelta(minutes=minutes)) for minutes in (0, 2, 20)]


PAYLOADS = {
    "ses": (samples.ses(samples.SES_PARTS["complaint"]), "complained"),
    "sendgrid": ([samples.sendgrid("unsubscribe")], "unsubscribed"),
    "postmark": (samples.POSTMARK["bounce"], "bounced"),
    "mailgun": (samples.MAILGUN["unsubscribed"], "unsubscribed"),
    "generic": (
        {"event_type": "email_complained", "event_id": "1", "message_id": "x",
         "email": samples.EMAIL},
        "complained",
    ),
}  # fmt: skip


@pytest.mark.parametrize("provider", PAYLOADS)
def test_a_refusal_of_an_unknown_message_suppresses_the_address(database, provider):
    workspaces(database, "Acme")
    payload, reason = PAYLOADS[provider]
    first, *_, last = drained(database, provider, payload)
    assert (first.again, first.suppressed) == (1, 1)  # at once, though the message may be stored
    assert (last.done, last.accepted, last.rejected) == (1, 1, 0)
    assert listed(database) == [("Acme", samples.EMAIL, "email", reason)]
    again = drained(database, provider, payload)[0]
    assert (again.done, again.duplicates, again.suppressed) == (1, 1, 0)


@pytest.mark.parametrize("provider", PAYLOADS)
def test_a_refusal_concerns_the_workspace_of_the_key(database, provider):
    workspaces(database, "Acme", "Beta", "Gamma")
    payload, reason = PAYLOADS[provider]
    drained(database, provider, payload, workspace="Beta")
    assert listed(database) == [("Beta", samples.EMAIL, "email", reason)]


def test_a_refusal_with_a_key_of_all_workspaces_concerns_all(database):
    workspaces(database, "Acme", "Beta")
    with database.transaction() as connection:
        for workspace in (value(database, "SELECT id FROM workspaces WHERE name = %s", name)
                          for name in ("Acme", "Beta")):  # fmt: skip
            contacts(connection, workspace, 1)
    event = an_event(1, "email_unsubscribed", message_id="unknown", email="Person1@example.com")
    first, *_, last = drained(database, "generic", event)
    assert first.suppressed == 0  # which workspace is concerned may turn out
    assert (last.accepted, last.suppressed) == (1, 2)
    assert [row[0] for row in listed(database)] == ["Acme", "Beta"]
    assert value(database, "SELECT count(*) FROM contact_events") == 2
    again = drained(database, "generic", event)[0]
    assert (again.accepted, again.duplicates) == (0, 1)


def test_a_message_of_another_workspace_is_unknown_to_the_key(database):
    _, (sent,) = mailed(database)
    workspaces(database, "Beta")
    event = an_event(1, "email_unsubscribed", message_id=sent.message_id, email=STRANGER)
    drained(database, "generic", event, workspace="Beta")
    assert [row[:2] for row in listed(database)] == [("Beta", STRANGER)]
    assert value(database, "SELECT status FROM campaign_enrollments") == "completed"


def test_a_key_of_a_workspace_that_does_not_exist_keeps_the_payload(database):
    workspaces(database, "Acme")
    event = an_event(1, "email_unsubscribed", message_id="x", email=STRANGER)
    assert drained(database, "generic", event, workspace="Acne")[0].rejected == 1
    assert listed(database) == []
    with database.transaction() as connection:
        a_workspace(connection, "Acne")
        inbox_db.retry(connection, ids=None, provider=None, now=LAST_TRY)
    drain_inbox(database, now=LAST_TRY)
    assert listed(database) == [("Acne", STRANGER, "email", "unsubscribed")]


def test_the_same_event_id_of_two_applications_is_two_events(database):
    workspaces(database, "Acme", "Beta")
    event = an_event(1, "email_unsubscribed", email=STRANGER)
    for workspace in ("Acme", "Beta"):
        assert drained(database, "generic", event, workspace=workspace)[0].accepted == 1
    assert [row[0] for row in listed(database)] == ["Acme", "Beta"]


@pytest.mark.parametrize(
    "named",
    [
        {"message_id": "unknown"},
        {"message_id": str(uuid4())},
        {"provider_message_id": "x@relay"},
        {},
        {"campaign": "Another tool's"},
        {"campaign": "Welcome"},
    ],
)
def test_a_line_of_a_file_suppresses_whatever_it_names(database, named):
    mailed(database)
    bounce = {"data": {"bounce_type": "Permanent", "status": "5.1.1"}}
    report = ingest(database, [an_event(1, "email_bounced", email=STRANGER, **bounce, **named)])
    assert (report.accepted, report.suppressed, report.rejected) == (1, 1, {})
    assert [row[1:] for row in listed(database)] == [(STRANGER, "email", "bounced")]


def test_a_known_contact_exits_although_the_message_is_unknown(database):
    _, (sent,) = mailed(database)
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_workflow_states SET workflow_status = 'waiting', "
                           "completed_at = NULL, exit_reason = NULL, current_node_id = 'mail', "
                           "next_execution_at = %s", [LATER])  # fmt: skip
    event = an_event(1, "email_complained", message_id="elsewhere", email="person1@example.com")
    report = ingest(database, [event])
    assert (report.accepted, report.ended, report.suppressed) == (1, 1, 1)
    assert value(
        database, "SELECT contact_id FROM campaign_suppressions"
    ) == sent.contact_id  # fmt: skip
    assert value(database, "SELECT event_type FROM contact_events") == "email_complained"


@pytest.mark.parametrize(
    ("event_type", "fields"),
    [
        ("email_opened", {}),
        ("email_delivered", {}),
        ("email_bounced", {"data": {"bounce_type": "Transient"}}),
        ("email_bounced", {"data": {"status": "5.7.1", "reason": "blocked by policy"}}),
        ("email_suppressed", {}),
    ],
)
def test_other_events_of_unknown_messages_are_rejected(database, event_type, fields):
    mailed(database)
    event = an_event(1, event_type, message_id="unknown", email=STRANGER, **fields)
    assert ingest(database, [event]).rejected == {"no such message": 1}
    assert listed(database) == []
    assert len(rejects(database)) == 1


def test_a_text_that_is_no_address_is_not_suppressed(database):
    mailed(database)
    event = an_event(1, "email_unsubscribed", message_id="unknown", email="nobody")
    assert ingest(database, [event]).rejected == {"no such message": 1}
    assert listed(database) == []


def test_stop_from_a_number_without_a_contact_counts(database):
    workspaces(database, "Acme", "Beta")
    beta = value(database, "SELECT id FROM workspaces WHERE name = 'Beta'")
    stop = InboundSms("SM1", "+15550100001", "+15550100999", "stop")
    assert take_inbound_sms(database, stop, now=LATER, workspace_id=beta).suppressed == 1
    assert listed(database) == [("Beta", "+15550100001", "sms", "unsubscribed")]
    assert take_inbound_sms(database, stop, now=LATER).suppressed == 1
    start = InboundSms("SM2", "+15550100001", "+15550100999", "start")
    assert take_inbound_sms(database, start, now=LATER, workspace_id=beta).readmitted == 1
    assert [row[0] for row in listed(database)] == ["Acme"]


def test_a_list_of_a_provider_counts_as_if_it_was_told_here(database):
    _, sent = mailed(database, 3)
    reasons = ("bounced", "unsubscribed", "complained")
    events = [
        an_event(n, "email_suppressed", message_id=each.message_id,
                 data={"suppression_reason": reason})
        for n, (each, reason) in enumerate(zip(sent, reasons, strict=True))
    ]  # fmt: skip
    assert ingest(database, events).suppressed == 3
    assert [row[3] for row in listed(database)] == list(reasons)
    # The message has neither bounced nor led to an unsubscription.
    assert value(
        database,
        "SELECT count(*) FROM campaign_message_outcomes WHERE bounced_at IS NOT NULL "
        "OR unsubscribed_at IS NOT NULL OR complained_at IS NOT NULL",
    ) == 0  # fmt: skip
