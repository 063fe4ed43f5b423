"""A receiver that runs, on a port of its own, and what tests ask it."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import uvicorn

from drip_pipeline.db.connection import Database
from drip_pipeline.receiver.appender import Appender
from drip_pipeline.receiver.serve import config_of
from drip_pipeline.receiver.services import Services
from drip_pipeline.settings import Secret, Settings
from tests.engine.events.incoming import LATER

KEY = "a key for tests"  # as the messages of the factories are signed


def no_fetch(_url: str) -> bytes:
    raise AssertionError("nothing may be fetched here")


@dataclass
class Clock:
    """The receiver's time; tests move it."""

    now: datetime = LATER

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Receiver:
    port: int
    services: Services
    clock: Clock = field(default_factory=Clock)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("GET", path, headers=named)

    def post(
        self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        return self.ask("POST", path, body, headers)

    def counted(self, endpoint: str) -> dict[str, int]:
        totals = self.services.counts.totals()
        return {outcome: n for (name, outcome), n in totals.items() if name == endpoint}


class QuickServer(uvicorn.Server):
    """Stops at once; uvicorn's own looks ten times a second whether it should."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(0.005)


@contextmanager
def a_receiver(database: Database, *, fetch: Any = no_fetch, **settings: Any) -> Iterator[Receiver]:
    """A receiver of these settings, stopped at the end."""
    clock = Clock()
    receiver_settings = Settings(
        secret_key=Secret(KEY),
        public_url="https://mail.example.com",
        mail_from="Example Shop <hello@example.com>",
        **settings,
    )
    services = Services(receiver_settings, database, Appender(database), fetch, now=clock)
    server = QuickServer(config_of(receiver_settings, services, host="127.0.0.1", port=0))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    try:
        yield Receiver(listening.getsockname()[1], services, clock)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
