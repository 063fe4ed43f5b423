"""SMS against a server that imitates Twilio's REST API."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from drip_pipeline.channels.config import SmsChannelConfig
from drip_pipeline.channels.http.address_guard import AddressGuard
from drip_pipeline.channels.http.client import HttpClient
from drip_pipeline.channels.protocol import DeliveryResult, Outcome, OutgoingMessage, Severity
from drip_pipeline.channels.sms.twilio_channel import TwilioChannel
from drip_pipeline.settings import Secret
from tests.channels.messages import a_message
from tests.http_servers import DROP, HANG, HttpScript, HttpServers, Reply, Request

ACCOUNT = "ACcanary"
NUMBER = "+15550100123"
Open = Callable[..., TwilioChannel]


@pytest.fixture
def opened() -> Iterator[Open]:
    channels: list[TwilioChannel] = []

    def start(script: HttpScript | None = None, **options: Any) -> TwilioChannel:
        values: dict[str, Any] = {
            "account_sid": ACCOUNT,
            "auth_token_env": "TOKEN",
            "base_url": script.url if script else "http://127.0.0.1:9",
            "sender": "+15550100999",
            "timeout_seconds": 0.5,
        }
        allowed = [script.host] if script else ["127.0.0.1:9"]
        client = HttpClient(AddressGuard(allowed), keeps_connections=False)
        config = SmsChannelConfig(**(values | options))
        channels.append(TwilioChannel(client, config, Secret("canary-token")))
        return channels[-1]

    yield start
    for channel in channels:
        channel.close()


def text(number: int = 0, **changes: Any) -> OutgoingMessage:
    values = {"recipient": NUMBER, "text": f"Hello {number}, canary-body", "channel": "sms"}
    return a_message(number, **(values | changes))


def only(results: list[DeliveryResult]) -> DeliveryResult:
    (result,) = results
    for canary in ("canary", "5550100123"):
        assert canary not in (result.error or "")
    return result


def refused(status: int, code: int, message: str, **headers: str) -> Reply:
    body = {"code": code, "message": message, "status": status}
    return Reply(status, body, dict(headers))


def test_an_sms_is_posted_in_twilios_format(http: HttpServers, opened: Open):
    script = http.start(Reply(201, {"sid": "SM123", "status": "queued"}))
    channel = opened(script, status_callback_url="https://mail.example.com/in/twilio?a=b")
    result = only(channel.send([text(recipient="+1 (555) 010-0123")]))
    assert (result.outcome, result.provider_message_id) == (Outcome.ACCEPTED, "SM123")
    assert result.details == {"segments": 1}
    (request,) = script.requests
    assert request.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic "))
    assert pair == b"ACcanary:canary-token"
    delivery_id = text().delivery_id
    assert request.form == {
        "To": NUMBER,
        "From": "+15550100999",
        "Body": "Hello 0, canary-body",
        "StatusCallback": f"https://mail.example.com/in/twilio?a=b&message_id={delivery_id}",
    }


def test_a_messaging_service_can_replace_the_sender(http: HttpServers, opened: Open):
    script = http.start(Reply(201, {"sid": "SM1"}))
    only(opened(script, sender=None, messaging_service_sid="MG1").send([text()]))
    assert script.requests[0].form["MessagingServiceSid"] == "MG1"
    assert "From" not in script.requests[0].form


@pytest.mark.parametrize(
    ("reply", "outcome", "code", "after"),
    [
        (
            refused(429, 20429, "Too Many Requests", **{"Retry-After": "3"}),
            Outcome.THROTTLED,
            "twilio_20429",
            3.0,
        ),
        (refused(400, 21611, "queue is full"), Outcome.THROTTLED, "twilio_21611", None),
        (Reply(500), Outcome.NOT_SENT, "http_500", None),
        (Reply(503), Outcome.NOT_SENT, "http_503", None),
        (Reply(504), Outcome.UNKNOWN, "http_504", None),
        (refused(401, 20003, "Authenticate"), Outcome.NOT_SENT, "twilio_20003", None),
        (Reply(404), Outcome.NOT_SENT, "http_404", None),
        (HANG, Outcome.UNKNOWN, "timeout", None),
        (DROP, Outcome.UNKNOWN, "disconnected", None),
        (refused(400, 21617, "body too long"), Outcome.REJECTED, "twilio_21617", None),
    ],
)
def test_answers_are_classified(
    http: HttpServers,
    opened: Open,
    reply: Reply,
    outcome: Outcome,
    code: str,
    after: float | None,
):
    script = http.start(reply)
    result = only(opened(script).send([text()]))
    assert (result.outcome, result.error_code) == (outcome, code)
    assert result.retry_after_seconds == after
    assert result.is_provider_fault is (outcome is not Outcome.REJECTED)
    assert not result.recipient_invalid
    assert len(script.requests) == 1


def test_invalid_and_opted_out_numbers_are_classified(http: HttpServers, opened: Open):
    script = http.start(refused(400, 21211, f"The 'To' number {NUMBER} is not valid."))
    result = only(opened(script).send([text()]))
    assert (result.outcome, result.recipient_invalid) == (Outcome.REJECTED, True)
    assert result.error == (
        "the SMS provider answered with status 400: The 'To' number <address> is not valid."
    )
    script.answer = lambda _: refused(400, 21610, "unsubscribed recipient")
    result = only(opened(script).send([text()]))
    assert (result.outcome, result.recipient_opted_out) == (Outcome.REJECTED, True)
    assert not result.recipient_invalid


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"recipient": "0151 23456789"}, "address_invalid"),
        ({"recipient": ""}, "address_invalid"),
        ({"recipient": "+0 555"}, "address_invalid"),
        ({"recipient": "+1555010012312345678"}, "address_invalid"),
        ({"text": "  "}, "message_empty"),
        ({"text": "x" * 1_531}, "message_too_long"),
        ({"text": "ж" * 671}, "message_too_long"),
    ],
)
def test_unsendable_messages_never_reach_the_provider(
    http: HttpServers, opened: Open, changes: dict[str, str], code: str
):
    script = http.start(Reply(201, {"sid": "SM1"}))
    messages = [text(0, **changes), text(1)]
    results = opened(script).send(messages)
    assert (results[0].outcome, results[0].error_code) == (Outcome.REJECTED, code)
    assert not results[0].recipient_invalid  # no provider has said so
    assert results[1].outcome is Outcome.ACCEPTED
    assert len(script.requests) == 1


def test_an_unreachable_provider_means_not_sent(opened: Open):
    result = only(opened().send([text()]))
    assert (result.outcome, result.error_code) == (Outcome.NOT_SENT, "connect_failed")


@pytest.mark.parametrize(
    ("reply", "severity", "code"),
    [
        (Reply(200, {"status": "active"}), Severity.OK, "connected"),
        (Reply(200, {"status": "suspended"}), Severity.ERROR, "account_inactive"),
        (Reply(401), Severity.ERROR, "auth_failed"),
        (Reply(500), Severity.WARNING, "http_500"),
        (HANG, Severity.ERROR, "timeout"),
    ],
)
def test_checking_authenticates_and_sends_nothing(
    http: HttpServers, opened: Open, reply: Reply, severity: Severity, code: str
):
    script = http.start(reply)
    (finding,) = opened(script).check()
    assert (finding.severity, finding.code) == (severity, code)
    assert [(request.method, request.path) for request in script.requests] == [
        ("GET", f"/2010-04-01/Accounts/{ACCOUNT}.json")
    ]


def test_a_channel_without_sender_is_reported(opened: Open):
    (finding,) = opened(sender=None).check()
    assert finding.code == "sender_missing"


def test_each_sms_has_its_own_connection(http: HttpServers, opened: Open):
    # A kept connection that the other side closed meanwhile would look like a lost answer.
    seen: list[str] = []

    def closing(request: Request) -> Reply:
        seen.append(request.headers.get("connection", ""))
        return Reply(201, {"sid": "SM1"})

    channel = opened(http.start(closing))
    for number in range(3):
        assert only(channel.send([text(number)])).outcome is Outcome.ACCEPTED
    assert seen == ["close"] * 3
