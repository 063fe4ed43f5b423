"""HTTP servers with scripted answers, or none, on a free local port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    query_string: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode()))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. With `hangs`, none ever comes; with `drops`, the connection is cut instead."""

    status: int = 200
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    drops: bool = False


OK = Reply()
HANG = Reply(hangs=True)
DROP = Reply(drops=True)
Answer = Callable[[Request], Reply]


@dataclass
class HttpScript:
    """A running server. `answer` may be changed at any time; `requests` is what came in."""

    answer: Answer
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        """Host and port, as an allow-list wants them."""
        return f"127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request and answer it."""
        body = await request.read()
        came = Request(
            request.method,
            request.path,
            dict(request.query),
            request.rel_url.query_string,
            {name.lower(): value for name, value in request.headers.items()},
            body,
        )
        self.requests.append(came)
        reply = self.answer(came)
        if reply.hangs:
            await asyncio.sleep(60)
        if reply.drops:
            assert request.transport is not None
            request.transport.close()
        content = reply.body if isinstance(reply.body, (str, bytes)) else orjson.dumps(reply.body)
        content = content.encode() if isinstance(content, str) else content
        return web.Response(status=reply.status, body=content, headers=reply.headers)


class HttpServers:
    """Starts servers; all stop together."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runners: list[web.AppRunner] = []

    def start(self, answer: Answer | Reply = OK) -> HttpScript:
        """A server that answers like this, or always so."""
        script = HttpScript((lambda _: answer) if isinstance(answer, Reply) else answer)
        asyncio.run_coroutine_threadsafe(self._listen(script), self._loop).result(10)
        return script

    def stop(self) -> None:
        """Stop all servers."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self, script: HttpScript) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", script.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._runners.append(runner)
        script.port = runner.addresses[0][1]

    async def _stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()


@contextmanager
def http_servers() -> Iterator[HttpServers]:
    """Servers for the time of a test."""
    servers = HttpServers()
    try:
        yield servers
    finally:
        servers.stop()


def in_turn(*replies: Reply) -> Answer:
    """These answers one after the other, and the last one for ever."""
    left = list(replies)

    def answer(_request: Request) -> Reply:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer
