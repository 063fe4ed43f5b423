"""The eligibility check at send time: excluded contacts get no message, with an event per skip."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from drip_pipeline.domain.graph.nodes import EmailConfig, SmsAction, WebhookAction
from drip_pipeline.engine.contacts.import_suppressions import import_suppressions
from drip_pipeline.engine.execution.advance import advance_batch
from tests.channels.email.smtp_servers import Script
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW
from tests.engine.graphs import email, end, graph, node, trigger
from tests.http_servers import HttpServers, Reply

Start = Callable[..., Sender]
MAIL = one_step(EmailConfig(subject="Hello", body="Dear {{ name }}"), node_type="email")
TEXT = SmsAction(body="Hi")


@pytest.fixture
def mailing(smtp: Callable[..., Script], sending: Start) -> tuple[Sender, Script]:
    script = smtp()
    return sending(smtp=script), script


def suppress(sender: Sender, address: str, **fields: Any) -> None:
    values = {"reason": "manual", "channel": None, "campaign_id": None, "contact_id": None} | fields
    sender.rows(
        "INSERT INTO campaign_suppressions (workspace_id, address, reason, channel, campaign_id, "
        "contact_id, created_at) SELECT w.id, %s, %s, %s, %s, %s, %s FROM workspaces w "
        "RETURNING id",
        address, values["reason"], values["channel"], values["campaign_id"],
        values["contact_id"], NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "state", "enrollment"),
    [
        ("unsubscribed", "exited/unsubscribed", "unsubscribed"),
        ("bounced", "exited/suppressed", "bounced"),
        ("complained", "exited/suppressed", "unsubscribed"),
        ("manual", "exited/suppressed", "completed"),
    ],
)
def test_a_suppressed_address_gets_nothing_and_exits_with_the_reason(
    mailing: tuple[Sender, Script], reason: str, state: str, enrollment: str
):
    sender, script = mailing
    sender.enroll(MAIL, 3)
    suppress(sender, "WELCOME2@example.com", reason=reason)
    report = sender.run()
    assert report.delivered["email"].skipped == {reason: 1}
    assert len(script.received) == 2
    assert sender.states() == {"completed": 2, state: 1}
    assert sender.events()[f"message_skipped/{reason}"] == 1
    statuses = dict(sender.rows("SELECT contact_email, status FROM campaign_enrollments"))
    assert statuses["Welcome2@example.com"] == enrollment


def test_a_suppression_can_be_limited_to_a_campaign_or_channel(mailing: tuple[Sender, Script]):
    sender, script = mailing
    here, _ = sender.enroll(MAIL, 1, name="Here")
    sender.enroll(MAIL, 1, name="There")
    suppress(sender, "Here1@example.com", campaign_id=here.campaign_id)
    suppress(sender, "There1@example.com", channel="sms")
    suppress(sender, "There1@example.com", campaign_id=here.campaign_id)
    sender.run()
    assert [envelope.rcpt_tos for envelope in script.received] == [["There1@example.com"]]


def test_a_suppression_of_a_contact_applies_to_every_address(
    sending: Start, http: HttpServers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SMS_TOKEN", "token")
    script = http.start(Reply(201, {"sid": "SM1"}))
    sender = sending(allow=[script.host])
    config = {"account_sid": "AC1", "auth_token_env": "SMS_TOKEN", "from": "Acme"}
    sender.channel("sms", config | {"base_url": script.url}, platform="twilio")
    sender.enroll(one_step(TEXT), 4)
    contact = sender.value("SELECT id FROM contacts WHERE phone = '+15550100001'")
    suppress(sender, "old@example.com", contact_id=contact, reason="unsubscribed")
    suppress(sender, "welcome2@example.com")
    suppress(sender, "+15550100003", channel="sms", reason="unsubscribed")
    sender.run()
    assert [request.form["To"] for request in script.requests] == ["+15550100004"]
    assert sender.states() == {
        "completed": 2,
        "exited/unsubscribed": 1,
        "exited/suppressed": 1,
    }
    assert sender.events()["message_skipped/opted_out"] == 1


def test_a_number_is_recognized_in_any_notation(
    sending: Start, http: HttpServers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("SMS_TOKEN", "token")
    script = http.start(Reply(201, {"sid": "SM1"}))
    sender = sending(allow=[script.host])
    config = {"account_sid": "AC1", "auth_token_env": "SMS_TOKEN", "from": "Acme"}
    sender.channel("sms", config | {"base_url": script.url}, platform="twilio")
    sender.enroll(one_step(TEXT), 1, phone="001 (555) 010-0001")
    path = tmp_path / "stop.csv"
    path.write_text("phone,channel\n+1-555-010-0001,sms\n", encoding="utf-8")
    assert import_suppressions(sender.database, path, now=NOW).added == 1
    assert import_suppressions(sender.database, path, now=NOW).already == 1
    sender.run()
    assert script.requests == []


@pytest.mark.parametrize(
    ("answer", "required", "is_sent"),
    [
        (None, False, True),
        (None, True, False),
        (True, True, True),
        ("yes", True, True),
        ("No", False, False),
        (False, False, False),
        ("perhaps", True, False),
        ("perhaps", False, True),
    ],
)
def test_consent_is_checked_where_required_and_a_no_always_applies(
    mailing: tuple[Sender, Script], answer: Any, required: bool, is_sent: bool
):
    sender, script = mailing
    sender.channel("email", {"requires_consent": required})
    fields = {} if answer is None else {"consent_email": answer, "consent_sms": "no"}
    sender.enroll(MAIL, 1, custom_fields=Jsonb(fields))
    sender.run()
    assert len(script.received) == int(is_sent)
    assert sender.states() == {"completed": 1}
    assert sender.events()["message_skipped/no_consent"] == int(not is_sent)


def queued(sender: Sender, count: int) -> None:
    """Mails in the outbox that nobody has leased yet."""
    sender.enroll(MAIL, count)
    advance_batch(sender.database, now=NOW, batch_size=100)
    assert sender.deliveries() == {"pending": count}


def test_contacts_that_unsubscribe_while_the_email_waits_do_not_get_it(
    mailing: tuple[Sender, Script],
):
    sender, script = mailing
    queued(sender, 2)
    sender.rows(
        "UPDATE campaign_enrollments SET status = 'unsubscribed' "
        "WHERE contact_email = 'Welcome1@example.com' RETURNING id"
    )
    sender.run()
    assert [envelope.rcpt_tos for envelope in script.received] == [["Welcome2@example.com"]]
    assert sender.states() == {"completed": 1, "exited/unsubscribed": 1}


def test_the_email_of_a_paused_enrollment_waits_until_it_is_active(
    mailing: tuple[Sender, Script],
):
    sender, script = mailing
    queued(sender, 2)
    sender.rows(
        "UPDATE campaign_enrollments SET status = 'paused' "
        "WHERE contact_email = 'Welcome1@example.com' RETURNING id"
    )
    assert sender.run().delivered["email"].held == 1
    sender.run(NOW + timedelta(hours=1))
    assert len(script.received) == 1
    sender.rows("UPDATE campaign_enrollments SET status = 'active' RETURNING id")
    sender.run(NOW + timedelta(hours=2))
    assert len(script.received) == 2


def test_a_paused_campaign_sends_nothing(mailing: tuple[Sender, Script]):
    sender, script = mailing
    queued(sender, 2)
    sender.rows("UPDATE drip_campaigns SET status = 'paused' RETURNING id")
    sender.run()
    assert script.received == []
    assert sender.deliveries() == {"pending": 2}


def test_a_contact_that_was_deleted_is_removed(mailing: tuple[Sender, Script]):
    sender, script = mailing
    queued(sender, 2)
    sender.rows("DELETE FROM contacts WHERE email = 'Welcome1@example.com' RETURNING id")
    sender.run()
    assert len(script.received) == 1
    assert sender.events()["message_skipped/removed"] == 1


def test_an_imported_suppression_list_is_applied(mailing: tuple[Sender, Script], tmp_path: Path):
    sender, script = mailing
    sender.enroll(MAIL, 4)
    path = tmp_path / "list.csv"
    path.write_text(
        "address,reason,channel\nwelcome1@example.com,complained,\n"
        "WELCOME2@EXAMPLE.COM,,email\nwelcome3@example.com,,sms\nnonsense@,,\n",
        encoding="utf-8",
    )
    report = import_suppressions(sender.database, path, now=NOW)
    assert (report.added, dict(report.rejected)) == (3, {"invalid_address": 1})
    sender.run()
    assert sorted(envelope.rcpt_tos[0] for envelope in script.received) == [
        "Welcome3@example.com",
        "Welcome4@example.com",
    ]


def test_every_message_that_was_not_sent_has_an_event_with_its_reason(
    mailing: tuple[Sender, Script],
):
    sender, script = mailing
    script.on_rcpt = lambda _s, _c, envelope: (
        "550 5.1.1 gone" if "3@" in envelope.rcpt_tos[-1] else "250 OK"
    )
    sender.enroll(MAIL, 8)
    suppress(sender, "welcome1@example.com")
    sender.rows(
        "UPDATE contacts SET email = NULL WHERE email = 'Welcome2@example.com' RETURNING id"
    )
    sender.run()
    missing = sender.rows(
        "SELECT d.id FROM campaign_deliveries d WHERE d.status <> 'sent' AND NOT EXISTS ("
        "SELECT FROM campaign_events e WHERE e.message_id = d.id AND e.event_data ? 'reason')"
    )
    assert missing == []
    assert sender.deliveries() == {"sent": 5, "skipped": 2, "failed": 1}


def test_webhooks_of_suppressed_contacts_are_not_called_and_others_continue(
    sending: Start, http: HttpServers, smtp: Callable[..., Script]
):
    script, mail = http.start(), smtp()
    sender = sending(allow=[script.host], smtp=mail)
    config = WebhookAction(url=script.url, payload={"email": "{{ email }}"})
    campaign = graph(
        trigger("mail"),
        email("mail", default="hook"),
        node("hook", "action", config, default="end"),
        end(),
    )
    sender.enroll(campaign, 3)
    suppress(sender, "welcome2@example.com", channel="email")
    sender.run()
    assert sorted(request.json["email"] for request in script.requests) == [
        "Welcome1@example.com",
        "Welcome3@example.com",
    ]


def test_unsent_messages_of_an_archived_campaign_are_logged(mailing: tuple[Sender, Script]):
    from drip_pipeline.engine.campaigns.campaign import archive

    sender, script = mailing
    queued(sender, 2)
    archive(sender.database, "Welcome", now=NOW)
    sender.run()
    assert script.received == []
    assert sender.deliveries() == {"skipped": 2}
    assert sender.events()["message_skipped/campaign_archived"] == 2


@pytest.mark.parametrize(
    ("listed", "written"),
    [
        ("ann@müller.example", "Ann@xn--mller-kva.example"),
        ("ann@xn--mller-kva.example", "ANN@MÜLLER.example"),
        ("ann@example.com", "\u200bann@example.com"),
        ("a\u00adnn@example.com", "ann@example.com"),
        ("ann@mu\u0308ller.example", "ann@müller.example"),
    ],
)
def test_a_suppression_applies_to_every_spelling_of_the_address(
    mailing: tuple[Sender, Script], listed: str, written: str
):
    sender, script = mailing
    sender.enroll(MAIL, 1, email=written)
    suppress(sender, listed, reason="unsubscribed")
    sender.run()
    assert script.received == []
    assert sender.states() == {"exited/unsubscribed": 1}


def test_mail_goes_to_the_domain_of_the_address_and_no_other(mailing: tuple[Sender, Script]):
    sender, script = mailing
    sender.enroll(MAIL, 1, email="ann@straße.example")
    sender.run()
    assert [each.rcpt_tos for each in script.received] == [["ann@xn--strae-oqa.example"]]


@pytest.mark.parametrize(
    ("reason", "is_sent"),
    [("bounced", True), ("manual", True), ("unsubscribed", False), ("complained", False)],
)
def test_a_corrected_address_is_free_and_a_persons_no_stays_with_them(
    mailing: tuple[Sender, Script], reason: str, is_sent: bool
):
    sender, script = mailing
    sender.enroll(MAIL, 1)
    contact = sender.value("SELECT id FROM contacts")
    suppress(sender, "ann@exmaple.com", contact_id=contact, reason=reason)
    sender.run()
    assert len(script.received) == int(is_sent)
