"""SMS from the outbox to a provider and back, failure by failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.channels.sms.twilio_callbacks import InboundSms
from drip_pipeline.domain.graph.nodes import SmsAction
from drip_pipeline.engine.delivery.settle import GRACE_SECONDS
from drip_pipeline.engine.events.inbound_sms import take_inbound_sms
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW
from tests.engine.graphs import email, end, graph, node, trigger, wait_hours
from tests.http_servers import HANG, HttpScript, HttpServers, Reply, in_turn

Start = Callable[..., Sender]
TEXT = SmsAction(body="Hi {{ first_name }}, your code is {{ custom_fields.code | default: 'x' }}")
ACCEPTED = Reply(201, {"sid": "SM1", "status": "queued"})
LATER = timedelta(minutes=10)


@pytest.fixture
def texting(
    sending: Start, http: HttpServers, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Sender, HttpScript]]:
    monkeypatch.setenv("SMS_TOKEN", "canary-token")

    def start(answer: Any = ACCEPTED, **options: Any) -> tuple[Sender, HttpScript]:
        script = http.start(answer)
        sender = sending(allow=[script.host], **options)
        config = {
            "account_sid": "AC1",
            "auth_token_env": "SMS_TOKEN",
            "from": "+15550100999",
            "base_url": script.url,
            "timeout_seconds": 0.5,
        }
        sender.channel("sms", config, platform="twilio")
        return sender, script

    return start


def test_sms_are_sent_and_states_continue(texting: Callable[..., Any]):
    sender, script = texting()
    sender.enroll(one_step(TEXT), 20)
    assert sender.run().delivered["sms"].sent == 20
    assert sender.states() == {"completed": 20}
    assert sender.events() == {"sms_sent": 20, "enrollment_completed": 20}
    assert sender.data("sms_sent")[0] == {"segments": 1}
    assert len({request.form["To"] for request in script.requests}) == 20
    assert script.requests[0].form["Body"].startswith("Hi Person, your code is x")
    assert sender.value("SELECT DISTINCT provider_message_id FROM campaign_deliveries") == "SM1"


def test_a_busy_provider_is_not_called_until_retry_after(
    texting: Callable[..., Any],
):
    busy = Reply(429, {"code": 20429, "message": "Too Many"}, {"Retry-After": "300"})
    sender, script = texting(in_turn(busy))
    sender.enroll(one_step(TEXT), 200)
    done = sender.run().delivered["sms"]
    assert done.sent == 0
    # Those in progress then were refused; the others were not attempted.
    assert done.retried == len(script.requests) <= 50
    assert sender.deliveries() == {"pending": 200}
    assert sender.events() == {"retry_scheduled/twilio_20429": done.retried}
    before = len(script.requests)
    sender.run(NOW + timedelta(seconds=60))
    assert len(script.requests) == before
    script.answer = lambda _: ACCEPTED
    sender.run(NOW + timedelta(seconds=700))
    assert sender.deliveries() == {"sent": 200}


def test_a_500_is_retried(texting: Callable[..., Any]):
    sender, script = texting(in_turn(Reply(500), ACCEPTED))
    sender.enroll(one_step(TEXT), 1)
    assert sender.run().delivered["sms"].retried == 1
    assert sender.events() == {"retry_scheduled/http_500": 1}
    sender.run(NOW + LATER)
    assert sender.states() == {"completed": 1}
    assert len(script.requests) == 2


def test_no_answer_to_the_post_is_unknown_and_not_sent_again(texting: Callable[..., Any]):
    sender, script = texting(in_turn(HANG, ACCEPTED))
    sender.enroll(one_step(TEXT), 1)
    assert sender.run().delivered["sms"].unknown == 1
    assert sender.deliveries() == {"unknown": 1}
    assert sender.states() == {"waiting": 1}
    assert sender.events() == {}
    sender.run(NOW + timedelta(seconds=GRACE_SECONDS + 60))
    assert sender.states() == {"completed": 1}
    assert sender.data("sms_sent") == [{"certainty": "unknown"}]
    assert len(script.requests) == 1


def test_an_invalid_number_skips_the_sms_and_the_state_continues(texting: Callable[..., Any]):
    sender, script = texting()
    sender.enroll(one_step(TEXT), 1, phone="0151 2345678")
    sender.run()
    assert script.requests == []
    assert sender.states() == {"completed": 1}
    assert sender.events() == {
        "message_skipped/phone_without_country": 1,
        "enrollment_completed": 1,
    }
    # No provider has said anything about it: a corrected number gets the next SMS.
    assert sender.rows("SELECT reason FROM campaign_suppressions") == []


@pytest.mark.parametrize(
    ("phone", "dialed"),
    [
        ("+49 (0)151 23456780", "+4915123456780"),
        ("0049 151 23456780", "+4915123456780"),
        ("0151 23456780", "+4915123456780"),
        ("+44 (0)20 7946 0018", "+442079460018"),
        ("+1 212 555 0100 ext. 5", None),
        ("+4915123456787; +4915123456788", None),
        ("4.91512E+12", None),
    ],
)
def test_the_number_that_is_dialed_is_the_one_that_was_written(
    texting: Callable[..., Any], phone: str, dialed: str | None
):
    sender, script = texting()
    sender.enroll(one_step(TEXT), 1, phone=phone)
    sender.rows("UPDATE workspaces SET default_region = 'DE' RETURNING id")
    sender.run()
    assert [request.form["To"] for request in script.requests] == ([dialed] if dialed else [])
    assert sender.states() == {"completed": 1}


def test_contacts_without_a_number_are_skipped(texting: Callable[..., Any]):
    sender, script = texting()
    sender.enroll(one_step(TEXT), 1, phone=None)
    sender.run()
    assert script.requests == []
    assert sender.events() == {"message_skipped/no_address": 1, "enrollment_completed": 1}


def test_contacts_that_opted_out_at_the_provider_are_suppressed(texting: Callable[..., Any]):
    sender, script = texting(Reply(400, {"code": 21610, "message": "unsubscribed"}))
    campaign = graph(
        trigger("one"),
        node("one", "action", TEXT, default="pause"),
        wait_hours("pause", 1, default="two"),
        node("two", "action", TEXT, default="end"),
        end(),
    )
    sender.enroll(campaign, 1)
    sender.run()
    sender.run(NOW + timedelta(hours=2))
    assert len(script.requests) == 1
    assert sender.states() == {"completed": 1}
    events = sender.events()
    assert events["sms_failed/twilio_21610"] == 1
    assert events["message_skipped/opted_out"] == 1


def test_without_a_channel_sms_wait_and_the_reason_is_reported(sending: Start):
    sender = sending()
    sender.enroll(one_step(TEXT), 3)
    report = sender.run()
    assert report.delivered["sms"].faults == {"sms": "the workspace has no SMS channel"}
    assert sender.deliveries() == {"pending": 3}
    assert report.is_idle


def test_a_missing_secret_is_reported_by_name_and_sms_wait(
    texting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    sender, script = texting()
    monkeypatch.delenv("SMS_TOKEN")
    sender.enroll(one_step(TEXT), 3)
    (words,) = sender.run().delivered["sms"].faults.values()
    assert "SMS_TOKEN" in words
    assert script.requests == []
    assert sender.deliveries() == {"pending": 3}


def test_sms_of_a_disabled_channel_wait(texting: Callable[..., Any]):
    sender, script = texting()
    sender.enroll(one_step(TEXT), 3)
    sender.rows("UPDATE campaign_channels SET is_active = false RETURNING id")
    assert sender.run().delivered["sms"].sent == 0
    assert script.requests == []
    sender.rows("UPDATE campaign_channels SET is_active = true RETURNING id")
    assert sender.run(NOW + LATER).delivered["sms"].sent == 3


def inbound(keyword: Any, provider_id: str = "SM9") -> InboundSms:
    return InboundSms(provider_id, "+15550100001", "+15550100999", keyword)


def test_stop_takes_effect_at_once_and_other_channels_continue(
    texting: Callable[..., Any], smtp: Callable[..., Any]
):
    mail = smtp()
    sender, script = texting(smtp=mail)
    campaign = graph(
        trigger("text"),
        node("text", "action", TEXT, default="pause"),
        wait_hours("pause", 1, default="again"),
        node("again", "action", TEXT, default="end"),
        end(),
    )
    sender.enroll(campaign, 2)
    sender.run()
    assert len(script.requests) == 2
    report = take_inbound_sms(sender.database, inbound("stop"), now=NOW + timedelta(minutes=1))
    assert (report.events, report.suppressed) == (1, 1)
    again = take_inbound_sms(sender.database, inbound("stop"), now=NOW + timedelta(minutes=1))
    assert (again.events, again.suppressed) == (0, 0)
    sender.run(NOW + timedelta(hours=2))
    assert len(script.requests) == 3
    assert sender.states() == {"completed": 2}
    assert sender.events()["message_skipped/opted_out"] == 1
    # Another campaign still may write mails to them, and texts are skipped.
    both = graph(
        trigger("text"),
        node("text", "action", TEXT, default="mail"),
        email("mail", default="end"),
        end(),
    )
    with sender.database.transaction() as connection:
        from tests.engine import factories

        other = factories.a_published_campaign(connection, both, name="Other")
        people = [
            row[0]
            for row in connection.execute(
                "SELECT id FROM contacts WHERE phone = '+15550100001'"
            ).fetchall()
        ]
        factories.enrolled(connection, other, people)
    sender.run(NOW + timedelta(hours=3))
    assert len(script.requests) == 3
    assert len(mail.received) == 1
    assert sender.events()["message_skipped/opted_out"] == 2


def test_stop_applies_to_a_number_without_messages(texting: Callable[..., Any]):
    sender, script = texting()
    sender.enroll(one_step(TEXT), 1, phone="+1 (555) 010-0001")
    report = take_inbound_sms(sender.database, inbound("stop"), now=NOW)
    assert (report.events, report.suppressed) == (0, 1)
    sender.run()
    assert script.requests == []
    assert sender.events()["message_skipped/opted_out"] == 1


def test_start_removes_the_suppression_of_stop(texting: Callable[..., Any]):
    sender, script = texting()
    sender.enroll(one_step(TEXT), 1)
    take_inbound_sms(sender.database, inbound("stop"), now=NOW)
    report = take_inbound_sms(sender.database, inbound("start", "SM10"), now=NOW)
    assert report.readmitted == 1
    sender.run()
    assert len(script.requests) == 1


def test_a_reply_belongs_to_the_latest_sms(texting: Callable[..., Any]):
    sender, _ = texting()
    sender.enroll(one_step(TEXT), 1)
    sender.run()
    now = NOW + timedelta(minutes=5)
    assert take_inbound_sms(sender.database, inbound(None), now=now).events == 1
    message = sender.value("SELECT id FROM campaign_deliveries")
    replied = sender.value(
        "SELECT message_id FROM campaign_events WHERE event_type = 'sms_replied'"
    )
    assert replied == message


@pytest.mark.parametrize("written", ["+49 (0)151 23456780", "0151/23456780"])
def test_stop_applies_to_the_number_in_any_spelling(texting: Callable[..., Any], written: str):
    sender, script = texting()
    sender.enroll(one_step(TEXT), 1, phone=written)
    sender.rows("UPDATE workspaces SET default_region = 'DE' RETURNING id")
    stop = InboundSms("SM9", "+4915123456780", "+15550100999", "stop")
    assert take_inbound_sms(sender.database, stop, now=NOW).suppressed == 1
    sender.run()
    assert script.requests == []
    assert sender.events()["message_skipped/opted_out"] == 1
    start = InboundSms("SM10", "+4915123456780", "+15550100999", "start")
    assert take_inbound_sms(sender.database, start, now=NOW).readmitted == 1


def test_a_national_number_of_another_country_is_not_the_senders(texting: Callable[..., Any]):
    sender, _ = texting()
    sender.enroll(one_step(TEXT), 1, phone="0151 23456780")
    sender.rows("UPDATE workspaces SET default_region = 'AT' RETURNING id")
    stop = InboundSms("SM9", "+4915123456780", "+15550100999", "stop")
    take_inbound_sms(sender.database, stop, now=NOW)
    # The sender's own number is suppressed, also without a contact.
    assert sender.rows("SELECT address, contact_id FROM campaign_suppressions") == [
        ("+4915123456780", None)
    ]


def test_an_opted_out_number_is_suppressed_for_a_contact_that_writes_it_nationally(
    texting: Callable[..., Any],
):
    sender, script = texting()
    sender.enroll(one_step(TEXT), 1, phone="0151 23456780")
    sender.rows("UPDATE workspaces SET default_region = 'DE' RETURNING id")
    sender.rows(
        "INSERT INTO campaign_suppressions (workspace_id, address, channel, reason, created_at) "
        "SELECT w.id, '+4915123456780', 'sms', 'unsubscribed', %s FROM workspaces w RETURNING id",
        NOW,
    )
    sender.run()
    assert script.requests == []
    assert sender.events()["message_skipped/opted_out"] == 1


def test_an_id_that_cannot_be_stored_leaves_no_outcome_unknown(texting: Callable[..., Any]):
    sender, script = texting(in_turn(Reply(201, {"sid": "SM\x00", "status": "queued"}), ACCEPTED))
    sender.enroll(one_step(TEXT), 20)
    sender.run()
    assert len(script.requests) == 20
    assert sender.states() == {"completed": 20}
