"""Email from the outbox to a real server and back to the workflow states, failure by failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import Envelope

from drip_pipeline.channels.email.prepare import prepare_email
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.domain.templates.signed_tokens import Purpose, SignedLink, verify
from drip_pipeline.engine.delivery.delivery_batch import LEASE_SECONDS
from drip_pipeline.engine.delivery.settle import GRACE_SECONDS
from tests.channels.email.smtp_servers import Script, hang_up, say_nothing, store_and_hang_up
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW

Start = Callable[..., Sender]
StartSmtp = Callable[..., Script]
MAIL = EmailConfig(subject="Hello {{ first_name }} 🎉", body="Dear {{ name }} of {{ company }}")
GRAPH = one_step(MAIL, node_type="email")
LATER = timedelta(minutes=10)


def content_of(envelope: Envelope) -> bytes:
    """The message as it was received."""
    assert isinstance(envelope.content, bytes)
    return envelope.content


def read_only(script: Script) -> EmailMessage:
    """The only message that came in, as the standard library reads it."""
    (envelope,) = script.received
    assert isinstance(envelope.content, bytes)
    return message_from_bytes(envelope.content, policy=policy.default)


def test_emails_arrive_and_states_continue(smtp: StartSmtp, sending: Start):
    script = smtp()
    sender = sending(smtp=script)
    sender.enroll(GRAPH, 30)
    report = sender.run()
    assert report.delivered["email"].sent == 30
    assert sender.deliveries() == {"sent": 30}
    assert sender.states() == {"completed": 30}
    assert sender.events() == {"email_sent": 30, "enrollment_completed": 30}
    assert len({envelope.rcpt_tos[0] for envelope in script.received}) == 30
    ids = {str(row[0]) for row in sender.rows("SELECT id FROM campaign_deliveries")}
    assert {str(envelope.mail_from)[8:44] for envelope in script.received} == ids
    named = sender.rows("SELECT DISTINCT provider_message_id, transport FROM campaign_deliveries")
    assert named == [("4XyZabc123", "email")]


def test_an_email_has_the_recipients_own_signed_unsubscribe_link(smtp: StartSmtp, sending: Start):
    script = smtp()
    sender = sending(smtp=script)
    sender.enroll(one_step(prepare_email(MAIL), node_type="email"), 1)
    sender.run()
    (envelope,) = script.received
    read = message_from_bytes(content_of(envelope), policy=policy.default)
    link = read["List-Unsubscribe"].strip("<>")
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert f"Unsubscribe: {link}" in read.get_content()
    token = link.removeprefix("https://mail.example.com/u/")
    delivery_id = sender.value("SELECT id FROM campaign_deliveries")
    assert verify("a key for tests", Purpose.UNSUBSCRIBE, token) == SignedLink(delivery_id)


@pytest.mark.parametrize(
    ("where", "reply", "code"),
    [
        ("on_rcpt", "450 4.2.0 greylisted", "smtp_450"),
        ("on_data", "451 4.3.0 try again", "smtp_451"),
        ("on_rcpt", hang_up, "disconnected"),
    ],
)
def test_a_temporary_failure_is_retried_later(
    smtp: StartSmtp, sending: Start, where: str, reply: Any, code: str
):
    script = smtp(**{where: reply})
    sender = sending(smtp=script)
    sender.enroll(GRAPH, 1)
    assert sender.run().delivered["email"].retried == 1
    assert sender.deliveries() == {"pending": 1}
    assert sender.states() == {"waiting": 1}
    assert sender.events() == {f"retry_scheduled/{code}": 1}
    attempts, error, due_at = sender.rows(
        "SELECT attempts, last_error, due_at FROM campaign_deliveries"
    )[0]
    assert attempts == 1
    assert error
    assert timedelta(seconds=44) <= due_at - NOW <= timedelta(seconds=80)
    setattr(script, where, "250 OK")
    assert sender.run().delivered == {}
    sender.run(NOW + LATER)
    assert sender.states() == {"completed": 1}
    assert sender.value("SELECT attempts FROM campaign_deliveries") == 2
    assert len(script.received) == 1


def test_a_message_is_a_dead_letter_after_its_last_attempt(smtp: StartSmtp, sending: Start):
    script = smtp(on_data="451 4.3.0 no luck")
    sender = sending(smtp=script)
    campaign, _ = sender.enroll(GRAPH, 1)
    for hour in range(6):
        sender.run(NOW + timedelta(hours=hour))
    assert sender.deliveries() == {"failed": 1}
    assert sender.states() == {"failed": 1}
    assert sender.events() == {
        "retry_scheduled/smtp_451": 3,
        "email_failed/smtp_451": 1,
        "enrollment_failed": 1,
    }
    error = sender.value("SELECT last_error FROM campaign_workflow_states")
    assert error == "4.3.0 no luck"
    from drip_pipeline.engine.operations.requeue import requeue

    script.on_data = "250 OK"
    back = requeue(sender.database, now=NOW + timedelta(days=1), campaign=campaign.campaign_id)
    assert (back.states, back.deliveries) == (0, 1)
    sender.run(NOW + timedelta(days=1))
    assert sender.states() == {"completed": 1}
    (envelope,) = script.received
    delivery_id = sender.value("SELECT id FROM campaign_deliveries")
    assert str(delivery_id) in str(envelope.mail_from)


def test_a_missing_mailbox_suppresses_the_contact_and_ends_the_run(smtp: StartSmtp, sending: Start):
    script = smtp(on_rcpt="550 5.1.1 no such user")
    sender = sending(smtp=script)
    sender.enroll(GRAPH, 1)
    sender.run()
    assert sender.deliveries() == {"failed": 1}
    assert sender.states() == {"exited/suppressed": 1}
    assert sender.events() == {"email_bounced/smtp_550": 1, "enrollment_exited/suppressed": 1}
    suppressed = sender.rows("SELECT address, channel, reason FROM campaign_suppressions")
    assert suppressed == [("Welcome1@example.com", "email", "bounced")]
    assert sender.value("SELECT status FROM campaign_enrollments") == "bounced"


def test_refused_content_fails_the_state_with_the_reason(smtp: StartSmtp, sending: Start):
    sender = sending(smtp=smtp(on_data="550 5.7.1 looks like spam"))
    sender.enroll(GRAPH, 2)
    sender.run()
    assert sender.deliveries() == {"failed": 2}
    assert sender.states() == {"failed": 2}
    assert sender.events() == {"email_failed/smtp_550": 2, "enrollment_failed": 2}
    assert sender.rows("SELECT DISTINCT last_error FROM campaign_workflow_states") == [
        ("5.7.1 looks like spam",)
    ]


def test_a_connection_lost_after_the_end_is_unknown_and_not_sent_again(
    smtp: StartSmtp, sending: Start
):
    script = smtp(on_data=store_and_hang_up)
    sender = sending(smtp=script)
    sender.enroll(GRAPH, 1)
    assert sender.run().delivered["email"].unknown == 1
    assert sender.deliveries() == {"unknown": 1}
    assert sender.states() == {"waiting": 1}
    assert sender.events() == {}
    script.on_data = "250 OK"
    sender.run(NOW + timedelta(seconds=GRACE_SECONDS - 60))
    assert sender.states() == {"waiting": 1}
    sender.run(NOW + timedelta(seconds=GRACE_SECONDS + 60))
    assert sender.states() == {"completed": 1}
    assert sender.data("email_sent") == [{"certainty": "unknown"}]
    certainty = sender.value("SELECT certainty FROM campaign_message_outcomes")
    assert certainty == "unknown"
    assert len(script.received) == 1


def test_with_policy_retry_an_email_of_unknown_outcome_is_sent_again(
    smtp: StartSmtp, sending: Start
):
    script = smtp(on_data=store_and_hang_up)
    sender = sending(smtp=script)
    sender.channel("email", {"on_unknown": "retry"})
    sender.enroll(GRAPH, 1)
    assert sender.run().delivered["email"].retried == 1
    script.on_data = "250 OK"
    sender.run(NOW + LATER)
    assert sender.deliveries() == {"sent": 1}
    assert len({envelope.mail_from for envelope in script.received}) == 1
    assert len(script.received) == 2


def test_with_policy_hold_an_email_of_unknown_outcome_waits_for_an_operator(
    smtp: StartSmtp, sending: Start
):
    sender = sending(smtp=smtp(on_data=store_and_hang_up))
    sender.channel("email", {"on_unknown": "hold"})
    sender.enroll(GRAPH, 1)
    sender.run()
    sender.run(NOW + timedelta(days=30))
    assert sender.deliveries() == {"unknown": 1}
    assert sender.states() == {"waiting": 1}


def test_a_slow_server_is_waited_for(smtp: StartSmtp, sending: Start):
    async def think(_script: Script, _connection: Any, _envelope: Any) -> str:
        import asyncio

        await asyncio.sleep(0.3)
        return "250 OK"

    sender = sending(smtp=smtp(on_data=think))
    sender.enroll(GRAPH, 4)
    assert sender.run().delivered["email"].sent == 4


def test_a_killed_sender_leaves_its_emails_with_unknown_outcome(smtp: StartSmtp, sending: Start):
    script = smtp(on_data=say_nothing)
    sender = sending(smtp=script)
    sender.enroll(GRAPH, 1)
    with sender.database.transaction() as connection:
        # As a worker leaves it that was killed between marking and settling.
        from drip_pipeline.engine.execution.advance import advance_batch

        advance_batch(sender.database, now=NOW, batch_size=10)
        connection.execute(
            "UPDATE campaign_deliveries SET status = 'sending', due_at = NULL, "
            "transport = 'email', lease_token = id, leased_until = %s, attempts = 1",
            [NOW + timedelta(seconds=LEASE_SECONDS)],
        )
    late = NOW + timedelta(seconds=LEASE_SECONDS + 1)
    assert sender.run(late).recovered.unknown == 1
    assert sender.deliveries() == {"unknown": 1}
    assert sender.run(late + timedelta(seconds=GRACE_SECONDS)).recovered.assumed_sent == 1
    assert sender.states() == {"completed": 1}
    assert script.received == []


def test_a_template_that_cannot_be_rendered_fails_the_states_with_the_error(
    smtp: StartSmtp, sending: Start
):
    script = smtp()
    sender = sending(smtp=script)
    broken = EmailConfig(subject="Hi", body="{{ ai_score | divided_by: 0 }}")
    sender.enroll(one_step(broken, node_type="email"), 2)
    sender.run()
    assert sender.deliveries() == {"failed": 2}
    assert sender.events()["email_failed/render_failed"] == 2
    assert script.received == []


def test_a_channel_row_sets_sender_and_reply_address(
    smtp: StartSmtp, sending: Start, monkeypatch: pytest.MonkeyPatch
):
    relay, other = smtp(), smtp()
    monkeypatch.setenv("ACME_SMTP", f"smtp://127.0.0.1:{other.port}")
    sender = sending(smtp=relay)
    row = sender.channel(
        "email",
        {
            "smtp_url_env": "ACME_SMTP",
            "from": "Zoë at Acme <zoe@acme.example>",
            "reply_to": "answers@acme.example",
            "bounce_domain": "bounces.acme.example",
        },
        slug="acme",
    )
    sender.enroll(GRAPH, 1)
    sender.run()
    assert relay.received == []
    (envelope,) = other.received
    read = message_from_bytes(content_of(envelope), policy=policy.default)
    assert (read["From"], read["Reply-To"]) == (
        "Zoë at Acme <zoe@acme.example>",
        "answers@acme.example",
    )
    assert str(envelope.mail_from).endswith("@bounces.acme.example")
    taken = sender.rows("SELECT channel_id, transport FROM campaign_deliveries")
    assert taken == [(row, f"email/acme/{str(row)[:8]}")]
