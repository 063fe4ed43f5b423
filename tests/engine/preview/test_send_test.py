"""Test sends over a real mail server: the real mail but for the mark, and nothing else changes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import Envelope
from psycopg import sql

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.identity import is_test_message
from drip_pipeline.engine.campaigns.seeds import remove_seeds, seed_lists, set_seeds
from drip_pipeline.engine.events.event_parser import OF_TEST_MESSAGE
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.preview.preview import PreviewRequest
from drip_pipeline.engine.preview.send_test import SendTestReport, send_test
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.engine.runner.factory import message_settings
from drip_pipeline.errors import NotAllowed, NotFound
from tests.channels.email.smtp_servers import Script
from tests.engine.delivery.sending import Sender
from tests.engine.factories import NOW
from tests.engine.preview.files import GOOD_MAIL, campaign

Start = Callable[..., Sender]
StartSmtp = Callable[..., Script]
MAIL = {**GOOD_MAIL, "subject": "Hello {{ first_name }}"}
_ID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"


def contents(database: Database) -> dict[str, list[str]]:
    """All rows of all tables, as text."""
    with database.transaction() as connection:
        tables = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind = 'r' AND NOT c.relispartition"
            " OR c.relkind = 'p' AND n.nspname = 'public' ORDER BY 1"
        ).fetchall()
        return {
            name: [
                row[0]
                for row in connection.execute(
                    sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(name))
                )
            ]
            for (name,) in tables
        }


def published(sender: Sender, file: dict[str, Any]) -> None:
    with sender.database.transaction() as connection:
        connection.execute("INSERT INTO workspaces (name) VALUES ('Acme')")
        connection.execute(
            "INSERT INTO contacts (workspace_id, email, name, phone)"
            " SELECT id, 'ann@acme.io', 'Ann Archer', '+14155550123' FROM workspaces"
        )
    options = PublishOptions(now=NOW, settings=sender.settings, workspace="Acme")
    publish(sender.database, file, options)


def send(
    sender: Sender, *addresses: str, seeds: str | None = None, **request: Any
) -> SendTestReport:
    return send_test(
        sender.database,
        PreviewRequest(**{"campaign": "Tea", **request}),
        addresses,
        seeds,
        settings=message_settings(sender.settings),
        channels=sender.engine.channels,
        is_recorded=sender.settings.delivery == "record",
        now=NOW,
    )


def read(envelope: Envelope) -> EmailMessage:
    assert isinstance(envelope.content, bytes)
    return message_from_bytes(envelope.content, policy=policy.default)


def without_ids(envelope: Envelope) -> bytes:
    """The mail without the id of the message, its links' tokens and its date."""
    assert isinstance(envelope.content, bytes)
    text = envelope.content.replace(b"=\r\n", b"")  # soft line breaks fall elsewhere
    text = re.sub(rb"\r\n[ \t]+", b" ", text)
    text = re.sub(_ID.encode(), b"ID", text)
    text = re.sub(rb"/([ucot])/[A-Za-z0-9_=-]+", rb"/\1/TOKEN", text)
    return re.sub(rb"\r\nDate: [^\r]*", b"\r\nDate: then", text)


def enroll_and_run(sender: Sender) -> None:
    from drip_pipeline.engine.enrollment.audience import Everybody
    from drip_pipeline.engine.enrollment.enroll import enroll

    enroll(sender.database, "Tea", Everybody(), now=NOW)
    sender.run()


def test_a_test_mail_is_the_real_one_but_for_the_mark(smtp: StartSmtp, sending: Start):
    script = smtp()
    sender = sending(smtp=script, tracking=("opens", "clicks"))
    published(sender, campaign(MAIL))
    enroll_and_run(sender)
    before = contents(sender.database)
    report = send(sender, "ann@acme.io", person="ann@acme.io")
    after = contents(sender.database)
    real, test = script.received
    assert read(test)["Subject"] == "[Test] Hello Ann"
    assert without_ids(test).replace(b"[Test] ", b"") == without_ids(real)
    assert re.sub(_ID, "ID", test.mail_from or "") == re.sub(_ID, "ID", real.mail_from or "")
    (message,) = report.messages
    assert message.status == "sent"
    assert message.message_id is not None
    assert is_test_message(message.message_id)
    assert read(test)["Message-ID"].startswith(f"<{message.message_id}@")
    # The database is as it was but for the row of the audit trail.
    added = set(after.pop("operator_actions")) - set(before.pop("operator_actions"))
    assert after == before
    (action,) = sender.rows(
        "SELECT action, object_name, details FROM operator_actions WHERE action = 'test_send'"
    )
    assert len(added) == 1
    assert action == ("test_send", "Tea", {"messages": 1, "addresses": 1, "sent": 1})


def test_without_a_contact_the_values_are_made_up(smtp: StartSmtp, sending: Start):
    script = smtp()
    sender = sending(smtp=script)
    published(sender, campaign(MAIL))
    with sender.database.transaction() as connection:
        connection.execute("UPDATE contacts SET name = 'Secret Person'")
    send(sender, "me@acme.io", "you@acme.io")
    assert [envelope.rcpt_tos for envelope in script.received] == [["me@acme.io"], ["you@acme.io"]]
    assert all("Secret" not in read(each).as_string() for each in script.received)


def test_with_recorded_delivery_nothing_is_sent(smtp: StartSmtp, sending: Start):
    script = smtp()
    sender = sending(smtp=script, delivery="record")
    published(sender, campaign(MAIL))
    before = contents(sender.database)
    report = send(sender, "me@acme.io")
    after = contents(sender.database)
    assert [message.status for message in report.messages] == ["recorded"]
    assert not script.received
    del before["operator_actions"], after["operator_actions"]
    assert after == before


def test_messages_go_only_where_their_channel_leads(smtp: StartSmtp, sending: Start):
    script = smtp()
    sender = sending(smtp=script)
    published(sender, campaign(MAIL))
    # Publishing would refuse the SMS, because the workspace has no channel for it.
    file = {"campaign": None, "file": json.dumps(campaign(MAIL, sms="Hi {{ first_name }}"))}
    report = send(sender, "me@acme.io", **file)
    assert [(m.node_id, m.status) for m in report.messages] == [("mail", "sent")]
    assert report.notes == ["sms (sms) is not sent: there is no phone number"]
    report = send(sender, "+1 415 555 0199", **file)
    assert [(m.node_id, m.to, m.status) for m in report.messages] == [
        ("sms", "+14155550199", "failed")
    ]
    assert "no SMS channel" in (report.messages[0].reason or "")


def test_a_refused_address_and_a_failing_server_are_said(smtp: StartSmtp, sending: Start):
    script = smtp(on_rcpt="550 5.1.1 no such user")
    sender = sending(smtp=script)
    published(sender, campaign(MAIL))
    with sender.database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at)"
            " SELECT id, 'Gone@acme.io', 'complained', now() FROM workspaces"
        )
    report = send(sender, "gone@acme.io", "me@acme.io")
    assert [(m.to, m.status) for m in report.messages] == [
        ("gone@acme.io", "skipped"), ("me@acme.io", "failed")
    ]  # fmt: skip
    assert report.messages[0].reason == "the address is suppressed: complained"
    assert "550" in (report.messages[1].reason or "")
    # A permanent refusal of a test suppresses nobody.
    assert sender.value("SELECT count(*) FROM campaign_suppressions") == 1


def test_events_of_test_messages_are_rejected_and_suppress_nobody(smtp: StartSmtp, sending: Start):
    sender = sending(smtp=smtp())
    published(sender, campaign(MAIL))
    (message,) = send(sender, "ann@acme.io", person="ann@acme.io").messages
    lines = [
        {"event_id": f"e{n}", "event_type": event_type, "occurred_at": NOW.isoformat(),
         "message_id": message_id, "email": "ann@acme.io"}
        for n, (event_type, message_id) in enumerate(
            [("email_complained", str(message.message_id)),
             ("email_bounced", str(message.message_id).upper()),
             ("email_clicked", str(message.message_id).replace("-", "")),
             ("email_unsubscribed", f"<{message.message_id}@acme.io>")]
        )
    ]  # fmt: skip
    report = ingest_events(sender.database, lines, source="test", now=NOW)
    assert report.accepted == 0
    reasons = sender.rows("SELECT reason, count(*) FROM rejected_events GROUP BY 1")
    assert reasons == [(OF_TEST_MESSAGE, 4)]
    assert sender.value("SELECT count(*) FROM campaign_suppressions") == 0


def test_wrong_requests_send_nothing(smtp: StartSmtp, sending: Start):
    script = smtp()
    sender = sending(smtp=script)
    published(sender, campaign(MAIL))
    with pytest.raises(NotAllowed, match="address 2 of 2 cannot be used: invalid_email"):
        send(sender, "me@acme.io", "me@")
    with pytest.raises(NotAllowed, match="phone_without_country"):
        send(sender, "12345")
    with pytest.raises(NotAllowed, match="51 addresses are too many"):
        send(sender, *(f"p{n}@acme.io" for n in range(51)))
    with pytest.raises(NotFound, match="no seed list 'team'"):
        send(sender, seeds="team")
    with pytest.raises(NotFound):
        send(sender, "me@acme.io", person="nobody@acme.io")
    with pytest.raises(NotAllowed, match="no message of the campaign"):
        send(sender, "+14155550199")
    assert not script.received
    assert sender.value("SELECT count(*) FROM operator_actions WHERE action = 'test_send'") == 0


def test_seed_lists_are_stored_and_their_changes_recorded(smtp: StartSmtp, sending: Start):
    script = smtp()
    sender = sending(smtp=script)
    published(sender, campaign(MAIL))
    database = sender.database
    first = set_seeds(database, "Acme", "team", ["A@acme.io ", "b@acme.io", "a@acme.io"], now=NOW)
    assert (first.addresses, first.is_changed) == (("a@acme.io", "b@acme.io"), True)
    assert not set_seeds(database, "Acme", "team", first.addresses, now=NOW).is_changed
    assert [(each.name, each.addresses) for each in seed_lists(database, None)] == [
        ("team", ("a@acme.io", "b@acme.io"))
    ]
    report = send(sender, "b@acme.io", "c@acme.io", seeds="team")
    assert sorted(m.to for m in report.messages) == ["a@acme.io", "b@acme.io", "c@acme.io"]
    assert remove_seeds(database, None, "team", now=NOW).is_changed
    assert not remove_seeds(database, None, "team", now=NOW).is_changed
    with pytest.raises(NotAllowed, match="no name of a seed list"):
        set_seeds(database, "Acme", "My Team", ["a@acme.io"], now=NOW)
    actions = sender.rows(
        "SELECT action, details FROM operator_actions WHERE action LIKE '%%seeds' ORDER BY 1"
    )
    assert actions == [
        ("remove_seeds", {"seeds": "team"}), ("set_seeds", {"seeds": "team", "addresses": 2})
    ]  # fmt: skip
