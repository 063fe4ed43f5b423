"""HTTP client for worker threads: one event loop in its own thread, kept connections, every address
checked before connecting, no redirects, answers limited in size.

The allowed addresses are in address_guard.py, the classification of answers in outcomes.py.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult

from drip_pipeline.channels.http.address_guard import AddressGuard
from drip_pipeline.errors import AddressForbidden

MAX_ANSWER_BYTES: Final = 64 * 1024
CONNECT_SECONDS: Final = 10.0
USER_AGENT: Final = "drip-pipeline"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → addresses. The default is the system's resolver."""


Refusal = TypeVar("Refusal")


class Failure(StrEnum):
    """Why there is no answer. After LOST and TIMEOUT the request may have been processed."""

    FORBIDDEN = "forbidden"
    """The address may not be called; no connection was made."""
    CONNECT = "connect_failed"
    LOST = "disconnected"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One call; `body` is sent unchanged."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_seconds: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A status with the beginning of the body, or a failure with its error text. `headers` have
    lower-case names.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Failure | None = None
    error: str = ""

    @property
    def text(self) -> str:
        """The body, decoded as UTF-8."""
        return self.body.decode("utf-8", "replace")

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object; empty if it is not one."""
        try:
            parsed = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return parsed if isinstance(parsed, dict) else {}


class HttpClient:
    """Makes HTTP calls. Safe to use from several threads; the loop starts with the first call.

    With `keeps_connections` off, each call opens a connection, so that a kept connection that the
    other side has closed cannot be mistaken for a lost request.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        connections: int = 50,
        keeps_connections: bool = True,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        resolve: Resolve | None = None,
    ) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._guard = guard
        self._connections = connections
        self._keeps_connections = keeps_connections
        self._resolve = resolve
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._session: aiohttp.ClientSession | None = None
        # Addresses of hosts that the operator allowed, whatever the name resolves to.
        self._trusted: set[tuple[str, int]] = set()

    def call(self, requests: Sequence[HttpRequest]) -> list[HttpAnswer]:
        """Make all calls concurrently; return one answer each, in the same order. Failures of a
        call are answers and never raised."""
        if not requests:
            return []
        loop = self._running()
        return asyncio.run_coroutine_threadsafe(self._call_all(requests), loop).result()

    def call_each(self, requests: Sequence[HttpRequest | Refusal]) -> list[HttpAnswer | Refusal]:
        """Make the calls among `requests`; the others are returned unchanged in their place."""
        answers = iter(self.call([each for each in requests if isinstance(each, HttpRequest)]))
        return [next(answers) if isinstance(each, HttpRequest) else each for each in requests]

    def close(self) -> None:
        """Close the connections and stop the thread; the next call starts a new one."""
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
        # Runs only in the loop's thread, so never twice at once.
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_note_sent)
            connector = aiohttp.TCPConnector(
                limit=self._connections,
                resolver=_GuardedResolver(
                    self._guard, self._resolve or _resolve_name, self._trusted
                ),
                # Each connection resolves and checks again: no resolved address outlives its check.
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
        """Create the socket of a checked address; the final check, whatever path led here."""
        family, kind, protocol, _, address = info
        if (address[0], address[1]) not in self._trusted:
            self._guard.check_addresses("the host", address[1], [address[0]])
        created = socket.socket(family, kind, protocol)
        created.setblocking(False)
        return created

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
                body = await _read(response, self._max_answer_bytes)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return HttpAnswer(status=response.status, headers=headers, body=body)
        except AddressForbidden as error:
            return HttpAnswer(failure=Failure.FORBIDDEN, error=str(error))
        except TimeoutError:
            seconds = f"{request.timeout_seconds:g} s"
            return _failed(context.is_sent, Failure.TIMEOUT, f"no answer within {seconds}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(context.is_sent, Failure.LOST, _describe(error))


class _GuardedResolver(AbstractResolver):
    """Resolves a name once and checks every address; aiohttp connects to the checked ones."""

    def __init__(
        self, guard: AddressGuard, resolve: Resolve, trusted: set[tuple[str, int]]
    ) -> None:
        self._guard = guard
        self._resolve = resolve
        self._trusted = trusted

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the checked addresses of a name. Raises AddressForbidden."""
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
        """Do nothing: there is nothing to close."""


async def _resolve_name(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in infos))


async def _note_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    context.trace_request_ctx.is_sent = True


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    pieces: list[bytes] = []
    left = most
    while left > 0 and (piece := await response.content.read(left)):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        response.close()  # the rest is not read
    return b"".join(pieces)


def _failed(is_sent: bool, failure: Failure, error: str) -> HttpAnswer:
    return HttpAnswer(failure=failure if is_sent else Failure.CONNECT, error=error)


def _describe(error: Exception) -> str:
    """Describe an error without the URL that aiohttp quotes, because its path may hold a secret."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
