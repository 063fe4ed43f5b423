"""The receiver as an ASGI application. `routes` lists its endpoints with their limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from drip_pipeline.errors import DripError
from drip_pipeline.receiver.confirm_endpoint import ConfirmEndpoint
from drip_pipeline.receiver.endpoint_guard import (
    Call,
    Endpoint,
    EndpointGuard,
    EndpointResponse,
    plain_response,
)
from drip_pipeline.receiver.headers import SafeHeaders
from drip_pipeline.receiver.limits import Rate
from drip_pipeline.receiver.links import LinkEndpoints
from drip_pipeline.receiver.metrics_endpoint import MetricsEndpoint
from drip_pipeline.receiver.provider_calls import ProviderCalls
from drip_pipeline.receiver.services import Services
from drip_pipeline.receiver.trigger_endpoint import TriggerEndpoint
from drip_pipeline.receiver.unsubscribe_endpoint import UnsubscribeEndpoint

log = structlog.get_logger(__name__)

KILOBYTE: Final = 1024
MOST_EVENT_BYTES: Final = 2 * KILOBYTE * KILOBYTE
MOST_TRIGGER_BYTES: Final = KILOBYTE * KILOBYTE
MOST_LINK_BYTES: Final = 8 * KILOBYTE
# A provider sends the events of all its customers from a few addresses; a mail provider
# unsubscribes and loads images for many recipients from a few; an office may share one address.
PROVIDERS: Final = Rate(per_second=500, burst=5_000)
LINKS: Final = Rate(per_second=50, burst=500)
TRIGGERS: Final = Rate(per_second=20, burst=200)
HEALTH: Final = Rate(per_second=5, burst=50)
COUNTS_SECONDS: Final = 10.0


def build_app(services: Services) -> Starlette:
    """Build the application. Raises SettingsError for invalid secrets."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        services.appender.start()
        writer = asyncio.create_task(_write_counts(services))
        try:
            yield
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
            await services.appender.stop()
            await _flush_counts(services)

    app = Starlette(
        routes=routes(services), middleware=[Middleware(SafeHeaders)], lifespan=lifespan
    )
    # A redirect to the path without its slash would repeat the client's Host header.
    app.router.redirect_slashes = False
    return app


def routes(services: Services) -> Sequence[Route]:
    """Return all endpoints."""
    links, providers = LinkEndpoints(services), ProviderCalls(services)
    unsubscribing, triggering = UnsubscribeEndpoint(services), TriggerEndpoint(services)
    confirming = ConfirmEndpoint(services)

    def guarded(
        name: str, endpoint: Endpoint, rate: Rate, most_bytes: int = MOST_LINK_BYTES
    ) -> EndpointGuard:
        return EndpointGuard(name, endpoint, services.counts, services.limiter, rate, most_bytes)

    log.info("receiver_ready", takes_events_of=", ".join(providers.providers) or "none")
    calls = [
        Route(
            f"/events/{name}",
            guarded(
                f"events/{name}", _provider_endpoint(providers, name), PROVIDERS, MOST_EVENT_BYTES
            ),
            methods=["POST"],
        )
        for name in ("ses", "sendgrid", "postmark", "mailgun", "twilio", "generic")
    ]
    return [
        *calls,
        Route("/o/{token}", guarded("open", links.opened, LINKS), methods=["GET"]),
        Route("/c/{token}", guarded("click", links.clicked, LINKS), methods=["GET"]),
        Route("/u/{token}", guarded("unsubscribe", unsubscribing, LINKS), methods=["GET", "POST"]),
        Route("/t/{token}", guarded("confirm", confirming, LINKS), methods=["GET", "POST"]),
        Route(
            "/trigger/{campaign}",
            guarded("trigger", triggering, TRIGGERS, MOST_TRIGGER_BYTES),
            methods=["POST"],
        ),
        Route("/metrics", guarded("metrics", MetricsEndpoint(services), HEALTH), methods=["GET"]),
        Route("/healthz", guarded("healthz", _HealthEndpoint(services), HEALTH), methods=["GET"]),
    ]


def _provider_endpoint(providers: ProviderCalls, name: str) -> Endpoint:
    async def endpoint(call: Call) -> EndpointResponse:
        return await providers(name, call)

    return endpoint


class _HealthEndpoint:
    """The endpoint /healthz: whether the database answers, so that requests can be stored."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, _call: Call) -> EndpointResponse:
        try:
            await run_in_threadpool(self._check_database)
        except DripError:
            return plain_response(
                503, "The database does not answer.", "unavailable", retry_seconds=5
            )
        return EndpointResponse(PlainTextResponse("ok\n"), "ok")

    def _check_database(self) -> None:
        with self._services.database.transaction(is_read_only=True):
            pass


async def _write_counts(services: Services) -> None:
    while True:
        await asyncio.sleep(COUNTS_SECONDS)
        await _flush_counts(services)


async def _flush_counts(services: Services) -> None:
    day = services.now().date()
    try:
        await run_in_threadpool(services.counts.write, services.database, day)
    except DripError as error:
        # The counts stay in memory and are written later.
        log.warning("receiver_counts_not_written", error=type(error).__name__)
