"""Run the receiver under uvicorn until it receives a stop signal."""

from __future__ import annotations

import logging
from typing import Final

import uvicorn

from drip_pipeline.channels.http.address_guard import AddressGuard
from drip_pipeline.channels.http.client import HttpClient
from drip_pipeline.channels.signatures.sns import fetch_by
from drip_pipeline.db.connection import Database
from drip_pipeline.receiver.app import build_app
from drip_pipeline.receiver.appender import Appender
from drip_pipeline.receiver.header_timeout import HeaderTimeoutProtocol
from drip_pipeline.receiver.services import Services
from drip_pipeline.settings import Settings

MOST_CONNECTIONS: Final = 2_000
KEEP_ALIVE_SECONDS: Final = 15
STOP_SECONDS: Final = 10


def serve(settings: Settings, database: Database, *, host: str, port: int) -> None:
    """Serve requests until SIGTERM or Ctrl-C; requests in progress are completed first.

    Raises SettingsError.
    """
    # Only SNS URLs are fetched: no setting allows internal addresses.
    client = HttpClient(AddressGuard(()))
    try:
        services = Services(settings, database, Appender(database), fetch_by(client))
        uvicorn.Server(config_of(settings, services, host=host, port=port)).run()
    finally:
        client.close()


def config_of(settings: Settings, services: Services, *, host: str, port: int) -> uvicorn.Config:
    """Return the configuration of uvicorn. Raises SettingsError."""
    # Paths of links are secrets of their recipients and must never be logged.
    logging.getLogger("uvicorn.access").disabled = True
    return uvicorn.Config(
        build_app(services),
        host=host,
        port=port,
        http=HeaderTimeoutProtocol,
        ws="none",
        server_header=False,
        access_log=False,
        log_config=None,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
