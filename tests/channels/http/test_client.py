"""HTTP calls over real sockets: what is reached, what is not, and how failures differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from drip_pipeline.channels.http import address_guard
from drip_pipeline.channels.http.address_guard import AddressGuard
from drip_pipeline.channels.http.client import (
    MAX_ANSWER_BYTES,
    Failure,
    HttpAnswer,
    HttpClient,
    HttpRequest,
)
from tests.http_servers import DROP, HANG, HttpScript, HttpServers, Reply

Open = Callable[..., HttpClient]


@pytest.fixture
def opened() -> Iterator[Open]:
    clients: list[HttpClient] = []

    def start(*allowed: str, **options: Any) -> HttpClient:
        client = HttpClient(AddressGuard(allowed), **options)
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def target(http: HttpServers, monkeypatch: pytest.MonkeyPatch) -> HttpScript:
    """A server on this machine with an allowed port: only the address rules protect it."""
    script = http.start()
    ports = address_guard.DEFAULT_PORTS | {script.port}
    monkeypatch.setattr(address_guard, "DEFAULT_PORTS", ports)
    return script


def post(client: HttpClient, url: str, **changes: Any) -> HttpAnswer:
    values: dict[str, Any] = {"method": "POST", "url": url, "body": b"{}", "timeout_seconds": 5.0}
    (answer,) = client.call([HttpRequest(**(values | changes))])
    return answer


def answers(*each: Sequence[str]) -> tuple[Callable[..., Any], list[str]]:
    """A resolver that gives these answers one after the other, and what it was asked."""
    left = [list(addresses) for addresses in each]
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve, asked


@pytest.mark.parametrize(
    "form",
    [
        "http://127.0.0.1:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f000001:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://0:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[2002:7f00:1::]:{port}/",
        "http://[64:ff9b::7f00:1]:{port}/",
        "http://localhost:{port}/",
        "http://LOCALHOST:{port}/",
        "http://user:password@127.0.0.1:{port}/",
        "http://１２７.０.０.１:{port}/",
        "http://127.0.0.1.:{port}/",
    ],
)
def test_a_malicious_url_reaches_no_local_socket(target: HttpScript, opened: Open, form: str):
    answer = post(opened(), form.format(port=target.port))
    assert answer.failure is Failure.FORBIDDEN
    assert target.requests == []


def test_a_name_with_an_internal_address_reaches_no_local_socket(target: HttpScript, opened: Open):
    for addresses in (["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"], ["::1"]):
        resolve, _ = answers(addresses)
        answer = post(opened(resolve=resolve), f"http://hooks.example.com:{target.port}/")
        assert answer.failure is Failure.FORBIDDEN
    assert target.requests == []


def test_a_name_with_changing_addresses_is_resolved_once_and_checked_each_time(
    target: HttpScript, opened: Open
):
    # The first answer is judged good and connected to (nobody is there); asking again for the same
    # call would get the internal one.
    resolve, asked = answers(["192.0.1.1"], ["127.0.0.1"])
    client = opened(resolve=resolve)
    url = f"http://rebinding.example.com:{target.port}/"
    first = post(client, url, timeout_seconds=0.3)
    assert first.failure is Failure.CONNECT
    assert asked == ["rebinding.example.com"]
    assert post(client, url).failure is Failure.FORBIDDEN
    assert target.requests == []


def test_no_socket_is_created_for_an_unchecked_address(
    target: HttpScript, opened: Open, monkeypatch: pytest.MonkeyPatch
):
    from yarl import URL

    # As if the check of the URL had a hole.
    monkeypatch.setattr(AddressGuard, "check_url", lambda _guard, url: URL(url))
    answer = post(opened(), f"http://127.0.0.1:{target.port}/")
    assert answer.failure is Failure.FORBIDDEN
    assert target.requests == []


def test_redirects_are_not_followed(http: HttpServers, opened: Open):
    inside = http.start()
    outside = http.start(Reply(302, headers={"Location": inside.url}))
    answer = post(opened(outside.host), outside.url)
    assert answer.status == 302
    assert len(outside.requests) == 1
    assert inside.requests == []


def test_allowed_hosts_are_reached_by_name_and_by_address(http: HttpServers, opened: Open):
    script = http.start(Reply(200, "fine"))
    by_address = post(opened(script.host), script.url)
    assert (by_address.status, by_address.text) == (200, "fine")
    resolve, _ = answers(["127.0.0.1"])
    by_name = opened(f"hooks.internal:{script.port}", resolve=resolve)
    assert post(by_name, f"http://hooks.internal:{script.port}/").status == 200
    assert post(by_name, script.url).failure is Failure.FORBIDDEN
    assert len(script.requests) == 2


def test_requests_not_sent_differ_from_requests_without_an_answer(http: HttpServers, opened: Open):
    hanging, dropping = http.start(HANG), http.start(DROP)
    client = opened(hanging.host, dropping.host, "127.0.0.1:9")
    assert post(client, "http://127.0.0.1:9/").failure is Failure.CONNECT
    assert post(client, hanging.url, timeout_seconds=0.3).failure is Failure.TIMEOUT
    assert post(client, dropping.url).failure is Failure.LOST
    resolve, _ = answers([])
    unknown = post(opened(resolve=resolve), "http://nowhere.example.com/")
    assert unknown.failure is Failure.CONNECT


def test_a_long_answer_is_read_up_to_a_limit(http: HttpServers, opened: Open):
    script = http.start(Reply(200, b"x" * (MAX_ANSWER_BYTES * 20)))
    client = opened(script.host)
    assert len(post(client, script.url).body) == MAX_ANSWER_BYTES
    assert post(client, script.url).status == 200


def test_calls_are_concurrent_and_answered_in_order(http: HttpServers, opened: Open):
    script = http.start(lambda request: Reply(200, request.path))
    client = opened(script.host)
    requests = [
        HttpRequest(method="GET", url=f"{script.url}/{number}", timeout_seconds=5.0)
        for number in range(40)
    ]
    assert [answer.text for answer in client.call(requests)] == [f"/{n}" for n in range(40)]
    slow = http.start(HANG)
    client = opened(slow.host)
    began = time.monotonic()
    waiting = [HttpRequest(method="GET", url=slow.url, timeout_seconds=0.5)] * 20
    assert {answer.failure for answer in client.call(waiting)} == {Failure.TIMEOUT}
    assert time.monotonic() - began < 5


def test_a_closed_client_can_call_again(http: HttpServers, opened: Open):
    script = http.start()
    client = opened(script.host)
    for _ in range(2):
        assert post(client, script.url).status == 200
        client.close()
    assert client.call([]) == []


def test_cookies_are_not_kept_between_calls(http: HttpServers, opened: Open):
    script = http.start(Reply(200, headers={"Set-Cookie": "session=1; Path=/"}))
    client = opened(script.host)
    post(client, script.url)
    post(client, script.url)
    assert "cookie" not in script.requests[1].headers
