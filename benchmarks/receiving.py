"""Compare the receiver with a bare endpoint: requests per second of provider calls that are
verified, stored in the inbox and committed before the response, and of a Starlette endpoint on the
same server that responds 204.
"""

from __future__ import annotations

import asyncio
import base64
import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, perf_counter, sleep
from typing import Any, Final

import aiohttp
import uvicorn

from benchmarks.report import Figure, figure, in_turn
from benchmarks.sections import Options
from benchmarks.server import fresh_database

REQUESTS: Final = 20_000
CONNECTIONS: Final = 64
LOGIN: Final = "bench:secret"
PAYLOAD: Final = b'{"RecordType": "Open", "MessageID": "1", "Recipient": "a@example.com"%s}' % (
    b', "UserAgent": "' + b"x" * 400 + b'"'
)
_LISTENS_WITHIN_SECONDS: Final = 30.0


def section(options: Options) -> list[Figure]:
    """receive_vs_bare: requests per second of the one to those of the other."""
    requests = REQUESTS // 2 if options.is_quick else REQUESTS
    with (
        fresh_database(options.server_url) as database,
        _running(_receive, database.url) as receiver,
        _running(_answer) as bare,
    ):
        ours, theirs = in_turn(
            min(options.repeats, 3),
            lambda: _rate(f"http://127.0.0.1:{receiver}/events/postmark", requests, 200),
            lambda: _rate(f"http://127.0.0.1:{bare}/", requests, 204),
        )
        with database.transaction() as connection:
            row = connection.execute("SELECT count(*) FROM event_inbox").fetchone()
    kept = row[0] if row else 0
    assert kept == requests * len(ours), f"{kept} of {requests * len(ours)} requests were kept"
    note = f"{ours[-1]:,.0f} requests/s kept, {theirs[-1]:,.0f}/s answered with 204"
    return [figure("receive_vs_bare", ours, theirs, note)]


@contextmanager
def _running(serve: Any, *arguments: str) -> Iterator[int]:
    """A server in a process of its own; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(port, *arguments))
    process.start()
    try:
        deadline = monotonic() + _LISTENS_WITHIN_SECONDS
        while not _listens(port):
            assert monotonic() < deadline, "the server does not come up"
            sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.join(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _receive(port: int, database_url: str) -> None:
    from drip_pipeline.db.connection import Database
    from drip_pipeline.receiver import app
    from drip_pipeline.receiver.appender import Appender
    from drip_pipeline.receiver.limits import Rate
    from drip_pipeline.receiver.serve import config_of
    from drip_pipeline.receiver.services import Services
    from drip_pipeline.settings import Secret, Settings

    # All come from one address here.
    app.PROVIDERS = Rate(per_second=1e9, burst=10**9)  # type: ignore[misc]
    settings = Settings(secret_key=Secret("bench"), postmark_logins=(Secret(LOGIN),))
    with Database(database_url) as database:
        services = Services(settings, database, Appender(database), lambda _url: b"")
        uvicorn.Server(config_of(settings, services, host="127.0.0.1", port=port)).run()


def _answer(port: int) -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def endpoint(request: Request) -> Response:
        await request.body()
        return Response(status_code=204)

    bare = Starlette(routes=[Route("/", endpoint, methods=["POST"])])
    config = uvicorn.Config(
        bare, host="127.0.0.1", port=port, http="httptools", access_log=False, log_config=None
    )
    uvicorn.Server(config).run()


def _rate(url: str, requests: int, status: int) -> float:
    return asyncio.run(_asked(url, requests, status))


async def _asked(url: str, requests: int, status: int) -> float:
    headers = {"Authorization": f"Basic {base64.b64encode(LOGIN.encode()).decode()}"}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    left = iter(range(requests))
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def ask() -> None:
            for _ in left:
                async with session.post(url, data=PAYLOAD) as answer:
                    assert answer.status == status, answer.status
                    await answer.read()

        began = perf_counter()
        await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
        return requests / (perf_counter() - began)
