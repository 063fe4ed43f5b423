"""What protects the receiver: sizes, paces, rates; and what it says of itself."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
from starlette.routing import Route

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.receiver import app
from drip_pipeline.receiver import endpoint_guard as gate
from drip_pipeline.receiver.appender import Appender, NotStored
from drip_pipeline.receiver.header_timeout import HeaderTimeoutProtocol
from drip_pipeline.receiver.limits import Rate, RateLimiter, RecentKeys, network_of
from drip_pipeline.settings import Secret
from tests.engine.events.incoming import LATER, value
from tests.receiver import calls
from tests.receiver.running import Receiver, a_receiver

SECRETS = {"events_secrets": (Secret(calls.SECRET),)}


@pytest.fixture
def receiver(database: Database) -> Iterator[Receiver]:
    with a_receiver(database, **SECRETS) as running:
        yield running


def connected(receiver: Receiver) -> socket.socket:
    return socket.create_connection(("127.0.0.1", receiver.port), timeout=10)


def until_closed(connection: socket.socket) -> bytes:
    """Everything that comes until the other side hangs up."""
    pieces = []
    try:
        while piece := connection.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(database, receiver):
    with connected(receiver) as connection:
        connection.sendall(
            b"POST /events/generic HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n{"
        )
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer
    assert receiver.counted("events/generic") == {"too_large": 1}


def test_a_body_without_declared_length_is_limited(receiver):
    with connected(receiver) as connection:
        connection.sendall(
            b"POST /u/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"2000\r\n" + b"x" * 0x2000 + b"\r\n" + b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
        )  # fmt: skip
        assert until_closed(connection).startswith(b"HTTP/1.1 413")


def test_a_slow_head_is_dropped_and_others_are_served_meanwhile(receiver, monkeypatch):
    monkeypatch.setattr(HeaderTimeoutProtocol, "head_seconds", 0.5)
    slow = [connected(receiver) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert receiver.get("/healthz").status == 200
    began, open_ones = time.monotonic(), slow
    while open_ones and time.monotonic() - began < 5:
        # A byte now and then does not buy time.
        open_ones = [connection for connection in open_ones if takes_another_byte(connection)]
        time.sleep(0.05)
    assert open_ones == []
    assert time.monotonic() - began < 3
    for connection in slow:
        connection.close()


def takes_another_byte(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"a")
    except OSError:
        return False
    return True


def test_blank_lines_after_an_answer_do_not_hold_a_connection(receiver, monkeypatch):
    monkeypatch.setattr(HeaderTimeoutProtocol, "head_seconds", 0.3)
    with connected(receiver) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"ok" in connection.recv(65_536)
        connection.sendall(b"\r\n")
        began = time.monotonic()
        until_closed(connection)
    assert time.monotonic() - began < 3


def test_a_head_without_end_is_dropped(receiver):
    with connected(receiver) as connection:
        with suppress(OSError):
            connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000)
        assert until_closed(connection) == b""


def test_a_slow_body_is_dropped(database, monkeypatch):
    monkeypatch.setattr(app, "EndpointGuard", partial(gate.EndpointGuard, body_seconds=0.3))
    with a_receiver(database, **SECRETS) as receiver, connected(receiver) as connection:
        connection.sendall(
            b"POST /events/generic HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        )
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert receiver.counted("events/generic") == {"too_slow": 1}


def test_a_client_with_too_many_requests_gets_retry_after(database, monkeypatch):
    monkeypatch.setattr(app, "HEALTH", Rate(per_second=0.1, burst=3))
    with a_receiver(database, **SECRETS) as receiver:
        answers = [receiver.get("/healthz") for _ in range(5)]
        assert receiver.get("/o/x").status == 404  # other endpoints are not concerned
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 10


def test_clients_behind_a_trusted_proxy_are_distinguished(database, monkeypatch):
    monkeypatch.setattr(app, "HEALTH", Rate(per_second=0.1, burst=1))
    for proxies, expected in ((("127.0.0.1",), [200, 200, 429]), ((), [200, 429, 429])):
        with a_receiver(database, trusted_proxies=proxies) as receiver:
            named = ["198.51.100.1", "198.51.100.2", "198.51.100.1"]
            assert [
                receiver.ask("GET", "/healthz", headers={"X-Forwarded-For": each}).status
                for each in named
            ] == expected


def test_every_response_has_security_headers(receiver):
    for method, path, status in (
        ("GET", "/nowhere", 404), ("GET", "/events/generic", 405), ("PUT", "/u/x", 405),
        ("POST", "/events/generic", 401), ("GET", "/healthz", 200),
    ):  # fmt: skip
        answer = receiver.ask(method, path)
        assert answer.status == status
        assert "server" not in answer.headers
        assert "x-powered-by" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_health_reports_an_unavailable_database(database, receiver):
    assert receiver.get("/healthz").text == "ok\n"
    broken = Database("postgresql://nobody@127.0.0.1:1/none")
    with a_receiver(broken) as alone:
        answer = alone.get("/healthz")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_a_request_that_cannot_be_stored_must_be_repeated(database):
    broken = Database("postgresql://nobody@127.0.0.1:1/none")
    with a_receiver(broken, **SECRETS) as receiver:
        body, headers = calls.by_standard(b"{}")
        answers = [receiver.post("/events/generic", body, headers) for _ in range(2)]
    # A call that was not kept is no replay when it comes again.
    assert [(a.status, "retry-after" in a.headers) for a in answers] == [(503, True)] * 2


def test_the_routes_are_a_list_that_others_can_add_to(database, receiver):
    listed = app.routes(receiver.services)
    assert all(isinstance(route, Route) for route in listed)
    assert {route.path for route in listed} >= {"/healthz", "/trigger/{campaign}", "/o/{token}"}


# --- the parts ------------------------------------------------------------------------------------


def test_a_bucket_fills_with_time_and_never_overflows():
    limiter = RateLimiter()
    rate = Rate(per_second=2, burst=3)
    assert [limiter.wait_seconds("e", "c", rate, 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.wait_seconds("e", "c", rate, 0.5) == 0
    assert [limiter.wait_seconds("e", "c", rate, 100.0) == 0 for _ in range(4)] == [True] * 3 + [
        False
    ]


def test_memory_for_clients_is_bounded():
    limiter, seen = RateLimiter(most_clients=10), RecentKeys(most=10)
    for number in range(100):
        limiter.wait_seconds("e", str(number), Rate(1, 1), 0.0)
        seen.add(str(number))
    assert len(limiter._buckets) == 10
    assert ("99" in seen, "0" in seen) == (True, False)


def test_a_network_of_ipv6_is_one_client():
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.7") == "192.0.2.7"


def test_concurrent_requests_are_stored_together(database):
    async def together() -> None:
        appender = Appender(database)
        appender.start()
        await asyncio.gather(
            *(appender.append(Arrival("generic", b"%d" % n, LATER)) for n in range(200))
        )
        await appender.stop()

    asyncio.run(together())
    assert value(database, "SELECT count(DISTINCT payload) FROM event_inbox") == 200
    assert value(database, "SELECT count(DISTINCT xmin::text) FROM event_inbox") <= 3


def test_requests_beyond_the_queue_limit_are_refused(database):
    async def flooded() -> list[BaseException | None]:
        appender = Appender(database, most_waiting=5)
        waiting = [appender.append(Arrival("generic", b"x", LATER)) for _ in range(8)]
        tasks = [asyncio.ensure_future(each) for each in waiting]
        await asyncio.sleep(0)
        appender.start()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        await appender.stop()
        return done

    refused = [type(each) for each in asyncio.run(flooded()) if each is not None]
    assert refused == [NotStored] * 3


def test_a_value_that_the_database_refuses_fails_only_its_own_request(database):
    good = Arrival("generic", b"{}", LATER)

    async def mixed() -> list[BaseException | None]:
        appender = Appender(database)
        bad = good._replace(provider="nul \x00")
        tasks = [asyncio.ensure_future(appender.append(each)) for each in (good, bad, good)]
        await asyncio.sleep(0)
        appender.start()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        await appender.stop()
        return done

    assert [type(each) for each in asyncio.run(mixed())] == [type(None), NotStored, type(None)]
    assert value(database, "SELECT count(*) FROM event_inbox") == 2
