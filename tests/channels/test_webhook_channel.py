"""Webhooks against a receiver that checks signatures with the reference implementation."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from drip_pipeline.channels.http.address_guard import AddressGuard
from drip_pipeline.channels.http.client import HttpClient
from drip_pipeline.channels.protocol import DeliveryResult, Outcome, OutgoingMessage, Severity
from drip_pipeline.channels.signatures.standard_webhooks import signing_key
from drip_pipeline.channels.webhook_channel import KEPT_RESPONSE_CHARACTERS, WebhookChannel
from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import Secret
from tests.channels.messages import a_message
from tests.http_servers import DROP, HANG, HttpServers, Reply, Request

SECRET = "whsec_" + base64.b64encode(b"sixteen bytes or more").decode()
Open = Callable[..., WebhookChannel]


@pytest.fixture
def opened() -> Iterator[Open]:
    channels: list[WebhookChannel] = []

    def start(*allowed: str, **options: Any) -> WebhookChannel:
        options.setdefault("key", signing_key("HOOK_SECRET", Secret(SECRET)))
        channel = WebhookChannel(HttpClient(AddressGuard(allowed)), **options)
        channels.append(channel)
        return channel

    yield start
    for channel in channels:
        channel.close()


def call(url: str, number: int = 0, **changes: Any) -> OutgoingMessage:
    payload = {"method": "POST", "headers": {}, "payload": {"name": "Zoë", "n": number}}
    values = {"recipient": url, "payload": payload | changes.pop("payload", {})}
    return a_message(number, **(values | changes))


def only(results: list[DeliveryResult]) -> DeliveryResult:
    (result,) = results
    return result


def test_calls_verify_with_the_reference_implementation(http: HttpServers, opened: Open):
    def verified(request: Request) -> Reply:
        try:
            data = Webhook(SECRET).verify(request.body, request.headers)
        except WebhookVerificationError:
            return Reply(401)
        return Reply(200, data)

    script = http.start(verified)
    channel = opened(script.host)
    now = datetime.now(UTC)
    result = only(channel.send([call(script.url, created_at=now)]))
    assert result.outcome is Outcome.ACCEPTED
    assert result.details["status"] == 200
    assert result.details["response"] == '{"name":"Zoë","n":0}'
    (request,) = script.requests
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == str(call("").delivery_id)
    forged = opened(script.host, key=b"another key that is long")
    assert only(forged.send([call(script.url, created_at=now)])).error_code == "http_401"


def test_the_id_stays_the_same_when_a_call_is_repeated(http: HttpServers, opened: Open):
    script = http.start()
    channel = opened(script.host)
    for _ in range(3):
        channel.send([call(script.url)])
    assert len({request.headers["webhook-id"] for request in script.requests}) == 1


@pytest.mark.parametrize(
    ("reply", "outcome", "code", "after"),
    [
        (Reply(204), Outcome.ACCEPTED, None, None),
        (Reply(301, headers={"Location": "/x"}), Outcome.REJECTED, "redirected", None),
        (Reply(400), Outcome.REJECTED, "http_400", None),
        (Reply(404), Outcome.REJECTED, "http_404", None),
        (Reply(401), Outcome.NOT_SENT, "http_401", None),
        (Reply(408), Outcome.NOT_SENT, "http_408", None),
        (Reply(429, headers={"Retry-After": "120"}), Outcome.THROTTLED, "http_429", 120.0),
        (
            Reply(429, headers={"Retry-After": "Wed, 28 Jan 2026 12:00:30 GMT"}),
            Outcome.THROTTLED,
            "http_429",
            30.0,
        ),
        (Reply(429, headers={"Retry-After": "soon"}), Outcome.THROTTLED, "http_429", None),
        (Reply(503, headers={"Retry-After": "7"}), Outcome.THROTTLED, "http_503", 7.0),
        (Reply(500), Outcome.NOT_SENT, "http_500", None),
        (Reply(502), Outcome.UNKNOWN, "http_502", None),
        (HANG, Outcome.UNKNOWN, "timeout", None),
        (DROP, Outcome.UNKNOWN, "disconnected", None),
    ],
)
def test_answers_are_classified(
    http: HttpServers,
    opened: Open,
    reply: Reply,
    outcome: Outcome,
    code: str | None,
    after: float | None,
):
    script = http.start(reply)
    result = only(opened(script.host, timeout_seconds=0.5).send([call(script.url)]))
    assert (result.outcome, result.error_code) == (outcome, code)
    assert result.retry_after_seconds == after
    is_sure = outcome in (Outcome.ACCEPTED, Outcome.REJECTED) or code == "http_408"
    assert result.is_provider_fault is not is_sure
    assert not result.is_gone
    assert len(script.requests) == 1


def test_a_gone_endpoint_is_classified(http: HttpServers, opened: Open):
    script = http.start(Reply(410, "bye"))
    result = only(opened(script.host).send([call(script.url)]))
    assert (result.outcome, result.is_gone) == (Outcome.REJECTED, True)
    assert result.details == {"status": 410, "response": "bye"}


def test_an_unreachable_provider_means_not_sent(opened: Open):
    result = only(opened("127.0.0.1:9").send([call("http://127.0.0.1:9/")]))
    assert (result.outcome, result.error_code) == (Outcome.NOT_SENT, "connect_failed")


def test_the_response_is_stored_up_to_a_limit_and_never_in_the_error(
    http: HttpServers, opened: Open
):
    script = http.start(Reply(500, "canary " * 1_000 + "\x00"))
    result = only(opened(script.host).send([call(script.url)]))
    assert len(str(result.details["response"])) == KEPT_RESPONSE_CHARACTERS
    assert result.error == "the endpoint answered with status 500"


def test_headers_of_the_step_are_sent_and_cannot_replace_the_engines(
    http: HttpServers, opened: Open
):
    script = http.start()
    channel = opened(script.host)
    headers = {"X-Campaign": "welcome", "Content-Type": "application/vnd.acme+json"}
    channel.send([call(script.url, payload={"headers": headers})])
    (request,) = script.requests
    assert request.headers["x-campaign"] == "welcome"
    assert request.headers["content-type"] == "application/vnd.acme+json"
    for bad in ({"Webhook-Id": "x"}, {"Host": "x"}, {"X-A": "a\r\nX-B: c"}, {"a b": "c"}, {"": ""}):
        result = only(channel.send([call(script.url, payload={"headers": bad})]))
        assert (result.outcome, result.error_code) == (Outcome.REJECTED, "message_invalid")
    assert len(script.requests) == 1


def test_secret_headers_are_sent_to_their_hosts_only(http: HttpServers, opened: Open):
    script = http.start()
    secrets = {"Authorization": Secret("Bearer canary")}
    elsewhere = opened(script.host, secret_headers=secrets, hosts=["crm.example.com"])
    elsewhere.send([call(script.url)])
    at_home = opened(script.host, secret_headers=secrets, hosts=["127.0.0.1"])
    at_home.send([call(script.url)])
    sent = [request.headers.get("authorization") for request in script.requests]
    assert sent == [None, "Bearer canary"]


def test_a_get_has_its_payload_in_the_query(http: HttpServers, opened: Open):
    script = http.start()
    payload = {"method": "GET", "payload": {"email": "a b&c=d", "n": 1, "no": None}}
    opened(script.host).send([call(f"{script.url}/x?keep=1", payload=payload)])
    (request,) = script.requests
    assert request.query == {"keep": "1", "email": "a b&c=d", "n": "1", "no": ""}
    assert request.body == b""


@pytest.mark.parametrize(
    ("payload", "query"),
    [
        ({"tag": ["a b", 2, True, None]}, "tag=a b&tag=2&tag=true&tag="),
        ({"yes": True, "rate": 1.5, "tag": []}, "yes=true&rate=1.5"),
        ({"who": {"name": "Zoë"}}, 'who={"name":"Zoë"}'),
        ({"who": [{"n": 1}, {"n": 2}]}, 'who={"n":1}&who={"n":2}'),
        ([1, "b"], 'payload=[1,"b"]'),
        ([], ""),
    ],
)
def test_lists_and_objects_of_a_get_reach_the_query(
    http: HttpServers, opened: Open, payload: object, query: str
):
    script = http.start()
    opened(script.host).send([call(script.url, payload={"method": "GET", "payload": payload})])
    (request,) = script.requests
    assert request.query_string == query


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_have_it_in_the_body(http: HttpServers, opened: Open, method: str):
    script = http.start()
    opened(script.host).send([call(script.url, payload={"method": method})])
    (request,) = script.requests
    assert (request.method, request.json["name"]) == (method, "Zoë")


def test_a_forbidden_address_is_refused_and_not_called(opened: Open):
    result = only(opened().send([call("http://169.254.169.254/canary")]))
    assert (result.outcome, result.error_code) == (Outcome.REJECTED, "address_forbidden")
    assert "internal" in (result.error or "")
    assert "canary" not in (result.error or "")


def test_one_invalid_call_does_not_affect_the_others(http: HttpServers, opened: Open):
    script = http.start()
    messages = [
        call(script.url, 0),
        call(script.url, 1, payload={"headers": {"Host": "x"}}),
        call("http://10.0.0.1/", 2),
        call(script.url, 3),
    ]
    results = opened(script.host).send(messages)
    assert [result.delivery_id for result in results] == [m.delivery_id for m in messages]
    outcomes = [result.outcome for result in results]
    assert outcomes == [Outcome.ACCEPTED, Outcome.REJECTED, Outcome.REJECTED, Outcome.ACCEPTED]


def test_calls_without_a_secret_are_unsigned_and_reported(http: HttpServers, opened: Open):
    script = http.start()
    channel = opened(script.host, key=None)
    channel.send([call(script.url)])
    assert "webhook-signature" not in script.requests[0].headers
    assert [finding.severity for finding in channel.check()] == [Severity.WARNING]
    assert [finding.severity for finding in opened().check()] == [Severity.OK]


@pytest.mark.parametrize("secret", ["", "whsec_", "canary", "whsec_c2hvcnQ=", "whsec_not base64!"])
def test_an_invalid_secret_is_refused_without_quoting_it(secret: str):
    with pytest.raises(SettingsError, match="HOOK_SECRET") as caught:
        signing_key("HOOK_SECRET", Secret(secret))
    assert "canary" not in f"{caught.value} {caught.value.hint}"
