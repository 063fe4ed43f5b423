"""What each reader makes of a provider's payload."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from drip_pipeline.domain.events.providers import generic, mailgun, postmark, sendgrid, ses
from drip_pipeline.domain.events.providers.common import PayloadInvalid, our_message_id
from drip_pipeline.domain.events.providers.replies import is_automatic, lower_case
from drip_pipeline.engine.events.event_parser import EventParser
from tests.domain.events.providers import samples
from tests.domain.events.providers.samples import AGENT, EMAIL, LINK, OURS

RECEIVED = datetime(2026, 3, 2, 9, 6, tzinfo=UTC)
NINE_FIVE = "2026-03-02T09:05:00.000Z"


def only(reading: Any) -> dict[str, Any]:
    assert reading.problems == []
    (line,) = reading.lines
    # What a reader gives, ingestion takes.
    EventParser("x", RECEIVED).parse(1, line)
    return dict(line)


def of_ses(name: str) -> dict[str, Any]:
    return only(ses.read(orjson.dumps(samples.ses(samples.SES_PARTS[name])), RECEIVED))


def of_sendgrid(name: str) -> dict[str, Any]:
    return only(sendgrid.read(orjson.dumps([samples.SENDGRID[name]]), RECEIVED))


def of_postmark(name: str) -> dict[str, Any]:
    return only(postmark.read(orjson.dumps(samples.POSTMARK[name]), RECEIVED))


def of_mailgun(name: str) -> dict[str, Any]:
    return only(mailgun.read(orjson.dumps(samples.MAILGUN[name]), RECEIVED))


def test_a_click_has_link_device_and_address_with_every_provider():
    lines = [of_ses("click"), of_sendgrid("click"), of_postmark("click"), of_mailgun("clicked")]
    for line in lines:
        assert line["event_type"] == "email_clicked"
        assert line["url"] == LINK
        assert line["user_agent"] == AGENT
        assert line["ip_address"] == "192.0.2.1"
        assert line["message_id"] == OURS
        assert line["email"] == EMAIL
        assert datetime.fromisoformat(line["occurred_at"]).replace(microsecond=0) == datetime(
            2026, 3, 2, 9, 5, tzinfo=UTC
        )


def test_locations_are_stored_as_reported():
    assert of_postmark("open")["data"]["location"]["City"] == "Berlin"
    assert "IP" not in of_postmark("open")["data"]["location"]
    assert of_mailgun("opened")["data"]["location"] == {
        "country": "DE", "region": "BE", "city": "Berlin"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "is_permanent"),
    [
        (of_ses("bounce"), True), (of_ses("full mailbox"), False),
        (of_sendgrid("bounce"), True), (of_sendgrid("blocked"), False),
        (of_postmark("bounce"), True), (of_postmark("soft bounce"), False),
        (of_mailgun("failed permanently"), True),
    ],
)  # fmt: skip
def test_only_bounces_of_bad_addresses_are_permanent(line, is_permanent):
    from drip_pipeline.engine.events.event_parser import suppression_reason_of

    assert line["event_type"] == "email_bounced"
    assert (suppression_reason_of("email_bounced", line["data"]) == "bounced") is is_permanent


def test_transient_failures_are_deferrals():
    for line in (of_sendgrid("deferred"), of_postmark("transient"), of_mailgun("failed for now")):
        assert line["event_type"] == "email_deferred"


def test_machines_reported_by_the_provider_are_marked():
    assert of_sendgrid("machine open")["data"]["machine"] is True
    assert "data" not in of_sendgrid("open")
    apple = samples.mailgun("opened", **{"client-info": {"bot": "apple", "user-agent": AGENT}})
    gmail = samples.mailgun("opened", **{"client-info": {"bot": "gmail", "user-agent": AGENT}})
    assert only(mailgun.read(orjson.dumps(apple), RECEIVED))["data"] == {"machine": True}
    assert "data" not in only(mailgun.read(orjson.dumps(gmail), RECEIVED))


def test_the_providers_own_lists_are_no_bounces():
    assert of_sendgrid("dropped")["event_type"] == "email_suppressed"
    assert of_sendgrid("dropped for its content")["event_type"] == "email_failed"
    on_list = samples.mailgun("failed", severity="permanent", reason="suppress-bounce")
    assert only(mailgun.read(orjson.dumps(on_list), RECEIVED))["event_type"] == "email_suppressed"


@pytest.mark.parametrize(
    "mail",
    [
        {**samples.SES_MAIL, "tags": {}},
        {**samples.SES_MAIL, "headers": []},
        {**samples.SES_MAIL, "tags": None, "headers": None,
         "commonHeaders": {"messageId": f"<{OURS}@example.com>"}},
    ],
)  # fmt: skip
def test_ses_carries_our_id_in_a_tag_a_header_or_the_common_headers(mail):
    notice = samples.ses(samples.SES_PARTS["delivery"], mail)
    assert only(ses.read(orjson.dumps(notice), RECEIVED))["message_id"] == OURS


def test_without_our_id_the_providers_own_is_used():
    mail = {"messageId": "0107-1", "destination": [EMAIL]}
    notice = samples.ses(samples.SES_PARTS["delivery"], mail)
    line = only(ses.read(orjson.dumps(notice), RECEIVED))
    assert ("message_id" in line, line["provider_message_id"]) == (False, "0107-1")
    event = samples.sendgrid("open") | {"smtp-id": "<x@sendgrid.net>", "drip_message_id": None}
    line = only(sendgrid.read(orjson.dumps([event]), RECEIVED))
    assert line["provider_message_id"] == "14c5d75ce93"


def test_a_bounce_of_several_recipients_is_one_event_each():
    part = samples.SES_PARTS["bounce"]
    several = [{"emailAddress": f"{name}@example.com"} for name in ("a", "b")]
    part = {**part, "bounce": {**part["bounce"], "bouncedRecipients": several}}
    reading = ses.read(orjson.dumps(samples.ses(part)), RECEIVED)
    assert [line["email"] for line in reading.lines] == ["a@example.com", "b@example.com"]
    assert len({line["event_id"] for line in reading.lines}) == 2


def test_a_not_spam_report_is_not_a_complaint():
    part = {"eventType": "Complaint", "complaint": {"complaintFeedbackType": "not-spam"}}
    reading = ses.read(orjson.dumps(samples.ses(part)), RECEIVED)
    assert (reading.lines, reading.ignored) == ([], 1)


@pytest.mark.parametrize(
    ("preferences", "event_type"),
    [
        ({"unsubscribeAll": True}, "email_unsubscribed"),
        ({"unsubscribeAll": False, "topicSubscriptionStatus": [
            {"topicName": "News", "subscriptionStatus": "OptOut"}]}, "email_unsubscribed"),
        ({"unsubscribeAll": False, "topicSubscriptionStatus": [
            {"topicName": "News", "subscriptionStatus": "OptIn"}]}, None),
    ],
)  # fmt: skip
def test_leaving_an_ses_list_is_an_unsubscription(preferences, event_type):
    part = {
        "eventType": "Subscription",
        "subscription": {
            "contactList": "L", "timestamp": NINE_FIVE, "source": "UnsubscribeHeader",
            "newTopicPreferences": preferences,
        },
    }  # fmt: skip
    reading = ses.read(orjson.dumps(samples.ses(part)), RECEIVED)
    assert [line["event_type"] for line in reading.lines] == ([event_type] if event_type else [])


def test_events_without_an_id_get_the_same_one_each_time():
    first, second, other = of_postmark("open"), of_postmark("open"), of_postmark("click")
    assert first["event_id"] == second["event_id"] != other["event_id"]
    nameless = samples.sendgrid("open")
    del nameless["sg_event_id"]
    ids = {only(sendgrid.read(orjson.dumps([nameless]), RECEIVED))["event_id"] for _ in range(2)}
    assert len(ids) == 1


# --- mail that comes back -------------------------------------------------------------------------


def reply(**headers: str) -> list[dict[str, Any]]:
    return postmark.read(orjson.dumps(samples.postmark_mail(**headers)), RECEIVED).lines


def test_a_reply_names_its_message():
    (line,) = reply(In_Reply_To=f"<{OURS}@example.com>")
    assert (line["event_type"], line["message_id"]) == ("email_replied", OURS)
    assert "data" not in line
    (line,) = reply(References=f"<first@example.com> <{OURS}@example.com>")
    assert line["message_id"] == OURS


def test_inbound_email_that_is_not_a_reply_to_us_is_ignored():
    assert reply(In_Reply_To="<somebody@elsewhere.example>") == []
    assert reply() == []


@pytest.mark.parametrize(
    "header",
    [
        ("Auto-Submitted", "auto-replied"),
        ("Auto-Submitted", "auto-generated; owner-email=x"),
        ("Precedence", "bulk"),
        ("Precedence", "auto_reply"),
        ("X-Autoreply", "yes"),
        ("X-Autorespond", ""),
        ("Return-Path", "<>"),
    ],
)
def test_a_vacation_notice_is_not_a_reply(header):
    name, value = header
    (line,) = reply(**{"In_Reply_To": f"<{OURS}@example.com>", name: value})
    assert line["data"] == {"machine": True, "auto_submitted": True}


def test_an_explicit_non_automatic_header_is_respected():
    assert not is_automatic(lower_case([("Auto-Submitted", "no"), ("Precedence", "normal")]))


def test_ses_forwards_inbound_email():
    part = {
        "notificationType": "Received",
        "receipt": {"recipients": [f"bounces+{OURS}@example.com"]},
    }
    mail = {"source": EMAIL, "timestamp": NINE_FIVE, "headers": []}
    line = only(ses.read(orjson.dumps(samples.ses(part, mail)), RECEIVED))
    assert (line["event_type"], line["message_id"]) == ("email_replied", OURS)


# --- what is none ---------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [ses.read, sendgrid.read, postmark.read, mailgun.read])
@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"null", b"7", b'"x"', b"[7]", b"{}", b'{"Type": "Notification"}', b"\xff"],
)
def test_invalid_payloads_are_refused(read, payload):
    with suppress(PayloadInvalid):
        reading = read(payload, RECEIVED)
        assert reading.lines == []
        assert reading.problems or reading.ignored


def test_unexpected_types_do_not_break_a_parser():
    for part in samples.SES_PARTS.values():
        for mail in ({}, {"headers": {}, "tags": [], "destination": "x", "commonHeaders": 7}):
            ses.read(orjson.dumps(samples.ses(part, mail)), RECEIVED)
    for sample in samples.MAILGUN.values():
        bare = {"event-data": {"event": sample["event-data"]["event"], "message": 7, "ip": 7}}
        mailgun.read(orjson.dumps(bare), RECEIVED)
    for sample in samples.POSTMARK.values():
        postmark.read(orjson.dumps({**sample, "Geo": 7, "Metadata": None, "ID": None}), RECEIVED)
    for sample in samples.SENDGRID.values():
        odd = {**sample, "timestamp": "x", "sg_message_id": 7, "reason": 7, "ip": None}
        sendgrid.read(orjson.dumps([odd]), RECEIVED)


def test_generic_events_may_be_single_in_a_list_or_in_an_envelope():
    event = {"event_type": "purchase", "email": EMAIL}
    for payload in (event, [event], {"events": [event]}):
        (line,) = generic.read(orjson.dumps(payload), RECEIVED, "msg_1").lines
        assert line == {
            **event, "event_id": "msg_1:0", "occurred_at": RECEIVED.isoformat()
        }  # fmt: skip
    (own,) = generic.read(orjson.dumps({**event, "event_id": "e"}), RECEIVED, "msg_1").lines
    assert own["event_id"] == "e"


@pytest.mark.parametrize(
    "text", [OURS, f"<{OURS}@example.com>", f"{OURS}@example.com", OURS.upper(), f" {OURS} "]
)
def test_our_id_is_recognized_in_every_notation(text):
    assert our_message_id(None, 7, "x", text) == OURS


@pytest.mark.parametrize("kind", ["unsubscribe", "group_unsubscribe", "open", "bounce"])
def test_events_without_an_id_of_two_people_in_one_second_differ(kind: str):
    event = {"event": kind, "timestamp": 1772442300, "sg_message_id": "shared.filter"}
    both = [event | {"email": "a@example.com"}, event | {"email": "b@example.com"}]
    lines = sendgrid.read(orjson.dumps(both), RECEIVED).lines
    assert len({line["event_id"] for line in lines}) == 2
    # A repeated call has the same ids.
    again = sendgrid.read(orjson.dumps(both), RECEIVED).lines
    assert [line["event_id"] for line in again] == [line["event_id"] for line in lines]


def test_mailgun_events_without_an_id_of_two_people_in_one_second_differ():
    ids = set()
    for recipient in ("a@example.com", "b@example.com"):
        event = {"event": "unsubscribed", "timestamp": 1772442300, "recipient": recipient}
        ids.add(only(mailgun.read(orjson.dumps({"event-data": event}), RECEIVED))["event_id"])
    assert len(ids) == 2


def test_postmark_events_without_an_id_of_two_people_in_one_second_differ():
    ids = set()
    for recipient in ("a@example.com", "b@example.com"):
        event = {"RecordType": "SubscriptionChange", "SuppressSending": True,
                 "SuppressionReason": "ManualSuppression", "Recipient": recipient,
                 "ChangedAt": NINE_FIVE}  # fmt: skip
        ids.add(only(postmark.read(orjson.dumps(event), RECEIVED))["event_id"])
    assert len(ids) == 2


def of_failure(**changes: Any) -> tuple[str, str]:
    """The event type of a failure that Mailgun reports, and why it forbids to write."""
    from drip_pipeline.engine.events.event_parser import suppression_reason_of

    status = {key: changes.pop(key) for key in ("code", "enhanced-code", "message", "bounce-type")
              if key in changes}  # fmt: skip
    event = {"event": "failed", "severity": "permanent", "timestamp": 1772442300,
             "recipient": "a@example.com", "delivery-status": status} | changes  # fmt: skip
    line = only(mailgun.read(orjson.dumps({"event-data": event}), RECEIVED))
    return line["event_type"], suppression_reason_of(line["event_type"], line["data"])


@pytest.mark.parametrize(
    ("failure", "event_type", "reason"),
    [
        ({"reason": "bounce", "code": 550, "message": "5.1.1 no such user"}, "email_bounced",
         "bounced"),
        ({"reason": "generic", "code": 550, "message": "no"}, "email_bounced", "bounced"),
        ({"reason": "old", "code": 602, "message": "Too old"}, "email_bounced", ""),
        ({"reason": "espblock", "code": 550, "message": "5.7.1 blocked"}, "email_bounced", ""),
        ({"reason": "bounce", "code": 552, "enhanced-code": "5.2.2"}, "email_bounced", ""),
        ({"reason": "bounce", "code": 550, "bounce-type": "soft"}, "email_bounced", ""),
        ({"code": 605}, "email_suppressed", "bounced"),
        ({"code": 606}, "email_suppressed", "unsubscribed"),
        ({"code": 607}, "email_suppressed", "complained"),
        ({"reason": "suppress-complaint"}, "email_suppressed", "complained"),
        ({"severity": "temporary", "code": 452}, "email_deferred", ""),
    ],
)  # fmt: skip
def test_only_permanent_failures_at_mailgun_suppress(failure, event_type, reason):
    assert of_failure(**failure) == (event_type, reason)


@pytest.mark.parametrize(
    ("why", "reason"),
    [("Bounced Address", "bounced"), ("Unsubscribed Address", "unsubscribed"),
     ("Spam Reporting Address", "complained"), ("Invalid SMTPAPI header", "bounced"),
     ("Spam Content", None)],
)  # fmt: skip
def test_a_drop_at_sendgrid_tells_why_the_address_is_on_its_list(why, reason):
    event = {"event": "dropped", "reason": why, "email": "a@example.com", "timestamp": 1772442300}
    line = only(sendgrid.read(orjson.dumps([event]), RECEIVED))
    assert line["data"].get("suppression_reason") == reason
    assert line["event_type"] == ("email_suppressed" if reason else "email_failed")
