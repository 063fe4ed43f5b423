"""Fuzz target: requests to the receiver, as bytes on a socket. None is answered with status 500,
and what was stored can be drained.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.drain_inbox import drain_inbox
from drip_pipeline.receiver.limits import RateLimiter
from drip_pipeline.settings import Secret
from tests.conftest import own_database
from tests.domain.events.providers import samples
from tests.fuzz.hostile import FUZZ, as_json, cases, damaged, noise, replaced, text, value
from tests.fuzz.test_event_targets import DOCUMENTED, LINE
from tests.receiver import calls
from tests.receiver.running import Receiver, a_receiver
from tests.receiver.test_provider_calls import SETTINGS
from tests.receiver.test_trigger_endpoint import TOKEN, a_campaign

DRAINED_EVERY = 50
MOMENT = 0.5
HEAD_END = b"\r\n\r\n"
TRIGGER = {"email": "ada@example.com", "name": "Ada", "plan": {"a": [1, "x"]}, "tags": ["vip"]}


@dataclass
class Target:
    """A running receiver, and how many requests it got."""

    receiver: Receiver
    database: Database
    requests: int = 0

    def answer(self, raw: bytes) -> bytes:
        """Send a request and return what comes back until it is closed. An incomplete request is
        given up after a moment."""
        self.requests += 1
        parts = []
        address = ("127.0.0.1", self.receiver.port)
        # Refused before its end, or not answered before the end of the request.
        ignored = suppress(ConnectionError, TimeoutError)
        with socket.create_connection(address, timeout=MOMENT) as client, ignored:
            client.sendall(raw)
            while part := client.recv(65_536):
                parts.append(part)
        return b"".join(parts)


@pytest.fixture(scope="module")
def target(server_url: str, template: str) -> Iterator[Target]:
    """A receiver with all endpoints on a database of its own."""
    settings: dict[str, Any] = {
        **SETTINGS,
        "trigger_secrets": (Secret(calls.SECRET),),
        "trigger_tokens": (Secret("a token"),),
    }
    with (
        pytest.MonkeyPatch.context() as patch,
        own_database(server_url, template) as database,
        a_receiver(database, fetch=lambda _url: calls.sns_certificate(), **settings) as receiver,
    ):
        patch.setattr(RateLimiter, "wait_seconds", lambda *_: 0.0)
        a_campaign(database)
        target = Target(receiver, database)
        yield target
        drained(target)


def drained(target: Target) -> None:
    drain_inbox(target.database, now=target.receiver.clock.now)


def request(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + body


def body(random: Random) -> bytes:
    """Return the body of a call."""
    match random.randrange(10):
        case 0:
            return as_json(value(random))
        case n if n < 7:
            return as_json(replaced(random, [*DOCUMENTED, LINE, [LINE], TRIGGER]))
        case _:
            return damaged(random, [orjson.dumps(TRIGGER), orjson.dumps([LINE])])


def signed(random: Random) -> bytes:
    """Return a hostile body with the signature of its sender, so that it is stored."""
    content = body(random)
    match random.choice(["sendgrid", "postmark", "generic", "ses", "twilio", "trigger"]):
        case "sendgrid":
            return request("POST", "/events/sendgrid", *calls.by_sendgrid(content))
        case "postmark":
            return request("POST", "/events/postmark", *calls.by_postmark(content))
        case "generic":
            clean = content.decode("utf-8", "replace").encode()
            call = calls.by_standard(clean, call_id=random.randbytes(8).hex())
            return request("POST", "/events/generic", *call)
        case "ses":
            return request("POST", "/events/ses", *calls.by_sns(content.decode("utf-8", "replace")))
        case "twilio":
            form = {name: text(random) for name in ("MessageSid", "From", "Body")}
            printable = {k: v.encode("utf-8", "replace").decode() for k, v in form.items()}
            return request("POST", "/events/twilio", *calls.by_twilio(printable))
        case _:
            return request("POST", "/trigger/Welcome", content, TOKEN)


SAMPLES = [
    request("POST", "/events/generic", orjson.dumps(LINE), {"webhook-id": "1"}),
    request("POST", "/events/ses", orjson.dumps(samples.SES_MAIL), {}),
    request("POST", "/trigger/Welcome", orjson.dumps(TRIGGER), TOKEN),
    request("GET", "/u/abc.def", b"", {}),
    request("POST", "/u/abc.def", b"List-Unsubscribe=One-Click", {}),
    request("GET", "/c/abc.def?x=%00", b"", {"Cookie": "a=b"}),
    request("GET", "/o/abc", b"", {"User-Agent": "x"}),
    request("GET", "/metrics", b"", {"Authorization": "Bearer x"}),
    b"POST /events/generic HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
]


def request_bytes(random: Random) -> bytes:
    """Return the bytes of a request, whose head is complete, so that the receiver answers it."""
    match random.randrange(10):
        case 0:
            return noise(random) + HEAD_END
        case n if n < 6:
            return damaged(random, SAMPLES) + HEAD_END
        case _:
            return signed(random)


@FUZZ
@given(raw=cases(request_bytes))
def test_http_request(target: Target, raw: bytes) -> None:
    status = target.answer(raw)[:12]
    assert not status.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500")), status
    if target.requests % DRAINED_EVERY == 0:
        drained(target)


def test_the_samples_reach_their_endpoints(target: Target) -> None:
    statuses = [target.answer(sample)[9:12] for sample in SAMPLES]
    assert b"404" not in statuses[:3]
    accepted = target.answer(request("POST", "/events/generic", *calls.by_standard(b"{}")))
    assert accepted.startswith(b"HTTP/1.1 2")
