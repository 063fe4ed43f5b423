"""Wrap an endpoint with rate limit, body size limit, body timeout and a response counter.

Endpoints get the whole body. Errors of an endpoint are neither sent to the client nor logged with
their content.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from drip_pipeline.errors import DripError
from drip_pipeline.receiver.limits import Rate, RateLimiter
from drip_pipeline.receiver.request_counts import RequestCounts

log = structlog.get_logger(__name__)

BODY_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request with its whole body."""

    request: Request
    body: bytes

    @property
    def client(self) -> str:
        """The address of the client; empty if unknown."""
        client = self.request.client
        return client.host if client else ""

    def param(self, name: str) -> str:
        """Return a parameter of the path."""
        return str(self.request.path_params.get(name, ""))


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """A response, and the outcome that is counted."""

    response: Response
    outcome: str


Endpoint = Callable[[Call], Awaitable[EndpointResponse]]


class _Refused(Exception):
    def __init__(self, answer: EndpointResponse) -> None:
        super().__init__(answer.outcome)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class EndpointGuard:
    """An endpoint with its limits, as an ASGI application. `name` is its name in the counts."""

    name: str
    endpoint: Endpoint
    counts: RequestCounts
    limiter: RateLimiter
    rate: Rate
    most_bytes: int
    body_seconds: float = BODY_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Process one request."""
        request = Request(scope)
        try:
            self._check_rate(request)
            body = await self._body(request, receive)
            answer = await self._respond(Call(request, body))
        except _Refused as refused:
            answer = refused.answer
        self.counts.add(self.name, answer.outcome)
        await answer.response(scope, receive, send)

    async def _respond(self, call: Call) -> EndpointResponse:
        try:
            return await self.endpoint(call)
        except DripError as error:
            log.warning("receiver_unavailable", endpoint=self.name, error=type(error).__name__)
            return plain_response(
                503,
                "Temporarily unavailable. Try again later.",
                "unavailable",
                retry_seconds=30,
            )
        except Exception as error:  # noqa: BLE001 - other requests must still be served
            # Neither the request nor a traceback is logged, because they may contain personal data.
            log.error("receiver_failed", endpoint=self.name, error=type(error).__name__)
            return plain_response(500, "Internal error.", "failed")

    def _check_rate(self, request: Request) -> None:
        client = request.client.host if request.client else ""
        wait = self.limiter.wait_seconds(self.name, client, self.rate, monotonic())
        if wait > 0:
            raise _Refused(
                plain_response(
                    429, "Too many requests.", "rate_limited", retry_seconds=math.ceil(wait)
                )
            )

    async def _body(self, request: Request, receive: Receive) -> bytes:
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared[:20]) > self.most_bytes:
            raise _Refused(_too_large())
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Refused(plain_response(400, "Disconnected.", "disconnected"))
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > self.most_bytes:
                        raise _Refused(_too_large())
                    if not message.get("more_body", False):
                        return b"".join(pieces)
        except TimeoutError:
            raise _Refused(plain_response(408, "The request took too long.", "too_slow")) from None


def plain_response(
    status: int, text: str, outcome: str, *, retry_seconds: int | None = None
) -> EndpointResponse:
    """Build a response in plain text."""
    headers = {} if retry_seconds is None else {"retry-after": str(retry_seconds)}
    return EndpointResponse(PlainTextResponse(f"{text}\n", status, headers), outcome)


def _too_large() -> EndpointResponse:
    return plain_response(413, "The request is too large.", "too_large")
