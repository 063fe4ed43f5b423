"""Calling HTTP services from worker threads: one event loop in a thread of its own, connections
kept, every address judged before it is connected to, no redirects, answers capped.

Which addresses may be called stands in address_guard.py; what an answer means for a message, in the
file of each channel.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult

from drip_pipeline.channels.http.address_guard import AddressGuard
from drip_pipeline.errors import AddressForbidden

MAX_ANSWER_BYTES: Final = 64 * 1024
CONNECT_SECONDS: Final = 10.0
USER_AGENT: Final = "drip-pipeline"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → addresses. The default asks the system."""


class Failure(StrEnum):
    """Why there is no answer. Only after `lost` and `timeout` may the other side have acted."""

    FORBIDDEN = "forbidden"
    """The address may not be called; nothing was connected to."""
    CONNECT = "connect_failed"
    LOST = "disconnected"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One call. `body` is sent as it is."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_seconds: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back: a status with the beginning of the body, or a failure with its words.
    `headers` have lower-case names.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Failure | None = None
    words: str = ""

    @property
    def text(self) -> str:
        """The body, read as UTF-8."""
        return self.body.decode("utf-8", "replace")

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is none."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}


class HttpClient:
    """Safe to use from several threads; the loop starts with the first call.

    `keeps_connections` off opens one per call: then a connection that the other side has closed
    meanwhile cannot be mistaken for a call that was lost on the way.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        connections: int = 50,
        keeps_connections: bool = True,
        resolve: Resolve | None = None,
    ) -> None:
        self._guard = guard
        self._connections = connections
        self._keeps_connections = keeps_connections
        self._resolve = resolve
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._session: aiohttp.ClientSession | None = None
        # Addresses of hosts that the operator named: the name is trusted, wherever it leads.
        self._trusted: set[tuple[str, int]] = set()

    def call(self, requests: Sequence[HttpRequest]) -> list[HttpAnswer]:
        """Make all calls at once; one answer each, in their order. Raises nothing for what concerns
        one call."""
        if not requests:
            return []
        loop = self._running()
        return asyncio.run_coroutine_threadsafe(self._call_all(requests), loop).result()

    def close(self) -> None:
        """Close the connections and end the thread; the next call starts anew."""
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
            session, self._session = self._session, None
        if loop is None or thread is None:
            return
        if session is not None:
            asyncio.run_coroutine_threadsafe(session.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="drip-http", daemon=True
                )
                self._thread.start()
            return self._loop

    async def _call_all(self, requests: Sequence[HttpRequest]) -> list[HttpAnswer]:
        session = self._opened()
        return list(await asyncio.gather(*(self._call(session, each) for each in requests)))

    def _opened(self) -> aiohttp.ClientSession:
        # Only coroutines of the one loop come here, so no two at once.
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_note_sent)
            connector = aiohttp.TCPConnector(
                limit=self._connections,
                resolver=_GuardedResolver(self._guard, self._resolve or _ask_system, self._trusted),
                # Each connection is resolved and judged anew: no answer outlives its judgment.
                use_dns_cache=False,
                force_close=not self._keeps_connections,
                socket_factory=self._guarded_socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                auto_decompress=False,
                trace_configs=[trace],
            )
        return self._session

    def _guarded_socket(self, info: Any) -> socket.socket:
        """The last look: whatever led here, no socket is made for an address that nobody judged."""
        family, kind, protocol, _, address = info
        if (address[0], address[1]) not in self._trusted:
            self._guard.check_addresses("the host", address[1], [address[0]])
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    async def _call(self, session: aiohttp.ClientSession, request: HttpRequest) -> HttpAnswer:
        context = SimpleNamespace(is_sent=False)
        try:
            url = self._guard.check_url(request.url)
            async with session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                trace_request_ctx=context,
                timeout=aiohttp.ClientTimeout(
                    total=request.timeout_seconds,
                    sock_connect=min(CONNECT_SECONDS, request.timeout_seconds),
                ),
            ) as response:
                body = await _read(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return HttpAnswer(status=response.status, headers=headers, body=body)
        except AddressForbidden as error:
            return HttpAnswer(failure=Failure.FORBIDDEN, words=str(error))
        except TimeoutError:
            seconds = f"{request.timeout_seconds:g} s"
            return _failed(context.is_sent, Failure.TIMEOUT, f"no answer within {seconds}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(context.is_sent, Failure.LOST, _words(error))


class _GuardedResolver(AbstractResolver):
    """Asks once, judges every answer, and hands on what it judged: aiohttp connects to that."""

    def __init__(
        self, guard: AddressGuard, resolve: Resolve, trusted: set[tuple[str, int]]
    ) -> None:
        self._guard = guard
        self._resolve = resolve
        self._trusted = trusted

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The judged addresses of a name. Raises AddressForbidden."""
        addresses = await self._resolve(host, port)
        if not addresses:
            raise OSError(f"{host} has no address")
        self._guard.check_addresses(host, port, addresses)
        if self._guard.allows_host(host, port):
            self._trusted.update((address, port) for address in addresses)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing to close."""


async def _ask_system(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _note_sent(_session: aiohttp.ClientSession, context: Any, _params: Any) -> None:
    context.trace_request_ctx.is_sent = True


async def _read(response: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    left = MAX_ANSWER_BYTES
    while left > 0 and (piece := await response.content.read(left)):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        response.close()  # whatever else is coming, nobody reads it
    return b"".join(pieces)


def _failed(is_sent: bool, failure: Failure, words: str) -> HttpAnswer:
    return HttpAnswer(failure=failure if is_sent else Failure.CONNECT, words=words)


def _words(error: Exception) -> str:
    """What went wrong, without the URL that aiohttp likes to quote: its path may hold a secret."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
