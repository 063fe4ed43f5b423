"""SMTP servers with scripted behavior, on a free local port, for one test each."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from tests.channels.email.smtp_servers import CountingSmtp, Script
from tests.http_servers import HttpServers, http_servers


@pytest.fixture(scope="session")
def certificate() -> ssl.SSLContext:
    """TLS for a server named localhost with an untrusted certificate, created for this run."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def smtp() -> Iterator[Callable[..., Script]]:
    """Start servers: `smtp(on_rcpt="550 no such user")`; `options` go to aiosmtpd."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers: list[asyncio.Server] = []

    async def listen(script: Script, tls: Any) -> None:
        server = await loop.create_server(
            lambda: CountingSmtp(script, hostname="mx.example.com", loop=loop, **script.options),
            "127.0.0.1",
            0,
            ssl=tls,
        )
        servers.append(server)
        script.port = server.sockets[0].getsockname()[1]

    def start(*, tls: Any = None, **changes: Any) -> Script:
        script = Script(**changes)
        asyncio.run_coroutine_threadsafe(listen(script, tls), loop).result(10)
        return script

    async def stop() -> None:
        for server in servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    yield start
    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def http() -> Iterator[HttpServers]:
    """HTTP servers: `http.start(Reply(500))`."""
    with http_servers() as servers:
        yield servers
