"""Calls of providers: what is proved is kept, what is not leaves a count and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest

from drip_pipeline.channels.signatures.sns import SnsUnreachable, is_sns_url
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.drain_inbox import drain_inbox
from drip_pipeline.settings import Secret
from tests.engine.events.incoming import LATER, mailed, rows, value
from tests.receiver import calls
from tests.receiver.calls import Call
from tests.receiver.running import Receiver, a_receiver

SETTINGS: dict[str, Any] = {
    "sns_topics": (calls.TOPIC,),
    "sendgrid_keys": (calls.sendgrid_public(),),
    "postmark_logins": (Secret(calls.LOGIN),),
    "mailgun_keys": (Secret("an older key"), Secret(calls.MAILGUN_KEY)),
    "twilio_tokens": (Secret(calls.TWILIO_TOKEN),),
    "events_secrets": (Secret(calls.SECRET),),
}
SIGNED: dict[str, Callable[[], Call]] = {
    "ses": lambda: calls.by_sns('{"eventType": "Send"}'),
    "sendgrid": lambda: calls.by_sendgrid(b'[{"event": "processed"}]'),
    "postmark": lambda: calls.by_postmark(b'{"RecordType": "Open"}'),
    "mailgun": lambda: calls.by_mailgun({"event": "accepted"}),
    "twilio": lambda: calls.by_twilio({"MessageSid": "SM1", "MessageStatus": "sent"}),
    "generic": lambda: calls.by_standard(b'{"event_type": "purchase"}'),
}


@pytest.fixture
def asked() -> list[str]:
    """The URLs that were fetched."""
    return []


@pytest.fixture
def receiver(database: Database, asked: list[str]) -> Iterator[Receiver]:
    def fetch(url: str) -> bytes:
        asked.append(url)
        return calls.sns_certificate()

    with a_receiver(database, fetch=fetch, **SETTINGS) as running:
        yield running


def kept(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, "SELECT provider, payload, status FROM event_inbox ORDER BY id")


def counted(receiver: Receiver, provider: str) -> dict[str, int]:
    return receiver.counted(f"events/{provider}")


def test_signed_payloads_of_every_provider_are_stored_as_received(database, receiver, asked):
    sent = {provider: signed() for provider, signed in SIGNED.items()}
    for provider, (body, headers) in sent.items():
        assert receiver.post(f"/events/{provider}", body, headers).status == 200
    assert kept(database) == [(name, body, "pending") for name, (body, _) in sent.items()]
    assert asked == [calls.CERTIFICATE_URL]


def forged(provider: str) -> list[Call]:
    """Calls that were changed after signing, signed by somebody else, or not at all."""
    body, headers = SIGNED[provider]()
    if provider == "postmark":
        return [
            calls.by_postmark(b"{}", "postmark:guess"),
            (body, {}),
            (body, {"Authorization": "x"}),
        ]
    if provider == "ses":
        return [(body.replace(b"Send", b"Open"), headers), (b"[]", headers), (b"", {})]
    if provider == "mailgun":
        unsigned = orjson.dumps(
            {**orjson.loads(body), "signature": {"timestamp": "1", "token": "x"}}
        )
        return [(unsigned, headers), (b"{}", headers), (b"secret", {})]
    wrong = {name: value[:-5] + "AAAA=" for name, value in headers.items()}
    return [(body + b"&secret=secret", headers), (body, {}), (body, wrong), (b"", headers)]


@pytest.mark.parametrize("provider", SIGNED)
def test_a_forged_call_is_only_counted(database, receiver, caplog, provider):
    attempts = forged(provider)
    with caplog.at_level(logging.DEBUG):
        statuses = [receiver.post(f"/events/{provider}", *call).status for call in attempts]
    assert statuses == [401] * len(attempts)
    assert kept(database) == []
    assert rows(database, "SELECT * FROM rejected_events") == []
    assert counted(receiver, provider) == {"forged": len(attempts)}
    assert caplog.records == []


def test_only_counts_of_refused_calls_reach_the_database(database, receiver):
    for _ in range(3):
        receiver.post("/events/mailgun", b"{}", {})
    receiver.services.counts.write(database, LATER.date())
    assert rows(database, "SELECT endpoint, outcome, requests FROM receiver_counts") == [
        ("events/mailgun", "forged", 3)
    ]


@pytest.mark.parametrize("provider", ["sendgrid", "mailgun", "generic"])
def test_the_same_signature_twice_is_a_replay(database, receiver, provider):
    body, headers = SIGNED[provider]()
    statuses = [receiver.post(f"/events/{provider}", body, headers).status for _ in range(3)]
    assert statuses == [200, 401, 401]
    assert len(kept(database)) == 1
    assert counted(receiver, provider) == {"accepted": 1, "replayed": 2}


@pytest.mark.parametrize("provider", ["ses", "sendgrid", "mailgun", "generic"])
@pytest.mark.parametrize("days", [-3, 3])
def test_a_signature_of_another_day_is_refused(database, receiver, provider, days):
    body, headers = SIGNED[provider]()
    receiver.clock.now = LATER + timedelta(days=days)
    assert receiver.post(f"/events/{provider}", body, headers).status == 401
    assert kept(database) == []
    assert counted(receiver, provider) == {"stale": 1}


def test_a_call_that_is_repeated_with_a_new_signature_counts_once(database, receiver):
    _, (sent,) = mailed(database)
    event = {"event_type": "email_opened", "message_id": str(sent.message_id)}
    for minutes in (0, 1):
        at = LATER + timedelta(minutes=minutes)
        receiver.clock.now = at
        body, headers = calls.by_standard(orjson.dumps(event), at)
        assert receiver.post("/events/generic", body, headers).status == 200
    drain_inbox(database, now=LATER + timedelta(hours=1))
    assert value(database, "SELECT open_count FROM campaign_message_outcomes") == 1


def test_a_provider_that_is_not_configured_is_not_found(database):
    with a_receiver(database) as receiver:
        for provider in (*SIGNED, "carrier-pigeon"):
            body, headers = SIGNED.get(provider, SIGNED["generic"])()
            assert receiver.post(f"/events/{provider}", body, headers).status == 404
    assert kept(database) == []


def test_an_sms_status_signature_is_verified_with_the_public_url(database, receiver):
    _, (sent,) = mailed(database)
    path = f"/events/twilio?message_id={sent.message_id}"
    form = {"MessageSid": "SM7", "MessageStatus": "delivered", "To": "+15005550006"}
    assert receiver.post(path, *calls.by_twilio(form, path)).status == 200
    assert receiver.post(path, *calls.by_twilio(form)).status == 401  # signed for another address
    drain_inbox(database, now=LATER)
    assert value(database, "SELECT event_type FROM campaign_events "
                           "WHERE event_type LIKE 'sms%%'") == "sms_delivered"  # fmt: skip


# --- Amazon SNS -----------------------------------------------------------------------------------


def test_both_signature_versions_are_accepted_and_the_certificate_is_cached(receiver, asked):
    for version in ("1", "2"):
        call = calls.by_sns('{"eventType": "Send"}', version=version, Subject="Amazon SES")
        assert receiver.post("/events/ses", *call).status == 200
    assert asked == [calls.CERTIFICATE_URL]


@pytest.mark.parametrize(
    "changed",
    [
        {"SigningCertURL": "https://sns.evil.example.com/cert.pem"},
        {"SigningCertURL": "http://sns.eu-central-1.amazonaws.com/cert.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com.evil.example.com/cert.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com@evil.example.com/cert.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com:8443/cert.pem"},
        {"SigningCertURL": "https://evil.s3.amazonaws.com/sns.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com/?Action=Get&x=.pem"},
        {"SigningCertURL": f"{calls.CERTIFICATE_URL}?x=.pem"},
        {"SigningCertURL": f"{calls.CERTIFICATE_URL}#.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com/bucket/x.pem"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-.pem"},
        {"TopicArn": "arn:aws:sns:eu-central-1:999999999999:ses-events"},
        {"SignatureVersion": "3"},
        {"Type": "Whatever"},
    ],
)
def test_a_message_with_a_foreign_certificate_or_topic_is_refused_without_a_request(
    receiver, asked, changed
):
    call = calls.by_sns('{"eventType": "Send"}', **changed)
    assert receiver.post("/events/ses", *call).status == 401
    assert asked in ([], [calls.CERTIFICATE_URL])


def test_a_subscription_to_our_topic_is_confirmed_at_amazon_only(database, receiver, asked):
    kind = "SubscriptionConfirmation"
    assert receiver.post("/events/ses", *calls.by_sns("Confirm, please", kind=kind)).status == 200
    assert asked == [calls.CERTIFICATE_URL, calls.SUBSCRIBE_URL]
    elsewhere = calls.by_sns("x", kind=kind, SubscribeURL="https://internal.example.com/do")
    assert receiver.post("/events/ses", *elsewhere).status == 401
    foreign = calls.by_sns("x", kind=kind, TopicArn="arn:aws:sns:eu-central-1:9:theirs")
    assert receiver.post("/events/ses", *foreign).status == 401
    assert len(asked) == 2
    assert kept(database) == []


def test_without_the_certificate_a_message_is_neither_accepted_nor_refused(database):
    def fetch(_url: str) -> bytes:
        raise SnsUnreachable("no way")

    with a_receiver(database, fetch=fetch, **SETTINGS) as receiver:
        answer = receiver.post("/events/ses", *SIGNED["ses"]())
    assert (answer.status, "retry-after" in answer.headers) == (503, True)


@pytest.mark.parametrize(
    "url",
    ["https://sns.x\\@evil.com/", "https://sns.eu.amazonaws.com\t/x", "https://[::1]/", "", "sns"],
)
def test_similar_addresses_are_not_addresses_of_amazon(url):
    assert not is_sns_url(url)


# --- workspaces of keys ---------------------------------------------------------------------------


def of_workspace(name: str) -> dict[str, Any]:
    """The settings with the name of a workspace before each key."""

    def named(key: Any) -> Any:
        return Secret(f"{name}={key.reveal()}") if isinstance(key, Secret) else f"{name}={key}"

    return {field: tuple(map(named, keys)) for field, keys in SETTINGS.items()}


@pytest.mark.parametrize("provider", SIGNED)
def test_the_workspace_of_the_key_is_stored_with_the_payload(database, provider):
    settings = of_workspace("Acme")
    with a_receiver(database, fetch=lambda _: calls.sns_certificate(), **settings) as receiver:
        assert receiver.post(f"/events/{provider}", *SIGNED[provider]()).status == 200
        for attempt in forged(provider):
            assert receiver.post(f"/events/{provider}", *attempt).status == 401
    assert rows(database, "SELECT context ->> 'workspace' FROM event_inbox") == [("Acme",)]


def test_a_call_is_assigned_to_the_key_that_signed_it(database):
    keys = (Secret("Acme=another key"), Secret(f"Beta={calls.MAILGUN_KEY}"), Secret("shared"))
    with a_receiver(database, mailgun_keys=keys) as receiver:
        assert receiver.post("/events/mailgun", *SIGNED["mailgun"]()).status == 200
        receiver.clock.now = LATER + timedelta(days=3)
        assert receiver.post("/events/mailgun", *SIGNED["mailgun"]()).status == 401
        assert counted(receiver, "mailgun") == {"accepted": 1, "stale": 1}
    assert rows(database, "SELECT context ->> 'workspace' FROM event_inbox") == [("Beta",)]


@pytest.mark.parametrize("field", ["TopicArn", "Type"])
@pytest.mark.parametrize("wrong", [["a"], {"a": 1}, 7, None])
def test_a_field_of_another_type_is_malformed(database, receiver, field, wrong):
    body, headers = SIGNED["ses"]()
    changed = orjson.dumps({**orjson.loads(body), field: wrong})
    assert receiver.post("/events/ses", changed, headers).status == 400
    assert counted(receiver, "ses") == {"malformed": 1}


@pytest.mark.parametrize("path", ["/trigger/a%00b", "/u/%00", "/c/%00"])
def test_a_nul_in_a_path_is_malformed(database, path):
    with a_receiver(database, trigger_tokens=(Secret("t"),)) as receiver:
        method = "POST" if path.startswith("/trigger") else "GET"
        headers = {"Authorization": "Bearer t"}
        assert receiver.ask(method, path, b"", headers).status == 400


def test_no_redirect_repeats_the_host(receiver):
    answer = receiver.ask("GET", "/healthz/", headers={"Host": "evil.example.com"})
    assert (answer.status, "location" in answer.headers) == (404, False)


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_large_head_is_refused_however_it_arrives(receiver, pieces):
    import socket

    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 40_000 + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as client:
        step = len(head) // pieces + 1
        answer = b""
        try:
            for start in range(0, len(head), step):
                client.sendall(head[start : start + step])
            answer = client.recv(1_000)
        except ConnectionError:
            pass
    assert b" 200 " not in answer
    assert receiver.counted("healthz") == {}
