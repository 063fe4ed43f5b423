"""A mail server that takes everything, fast, and remembers what it took: for deliveries by the
thousand, where aiosmtpd would be what is measured.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Received:
    """One message that was taken, and when (seconds of the monotonic clock)."""

    message_id: str
    recipient: str
    at_seconds: float


@dataclass
class Sink:
    """What came in. `delay_seconds` is how long each message is thought about."""

    port: int = 0
    delay_seconds: float = 0.0
    received: list[Received] = field(default_factory=list)
    transports: set[asyncio.Transport] = field(default_factory=set)


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""
        self._recipient = ""
        self._is_data = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sink.transports.add(transport)
        transport.write(b"220 sink.example.com ESMTP\r\n")

    def connection_lost(self, _error: Exception | None) -> None:
        assert self._transport is not None
        self._sink.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass

    def _step(self) -> bool:
        end = b"\r\n.\r\n" if self._is_data else b"\r\n"
        line, separator, rest = self._buffer.partition(end)
        if not separator:
            return False
        self._buffer = rest
        if self._is_data:
            self._is_data = False
            self._take(line)
        else:
            self._answer(line)
        return True

    def _answer(self, line: bytes) -> None:
        assert self._transport is not None
        keyword = line[:4].upper()
        if keyword == b"EHLO":
            self._transport.write(b"250-sink.example.com\r\n250 8BITMIME\r\n")
        elif keyword == b"RCPT":
            self._recipient = line[line.index(b"<") + 1 : line.index(b">")].decode()
            self._transport.write(b"250 OK\r\n")
        elif keyword == b"DATA":
            self._is_data = True
            self._transport.write(b"354 go ahead\r\n")
        elif keyword == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 OK\r\n")

    def _take(self, content: bytes) -> None:
        start = content.index(b"Message-ID: <") + 13
        message_id = content[start : content.index(b"@", start)].decode()
        self._sink.received.append(Received(message_id, self._recipient, time.monotonic()))
        loop = asyncio.get_running_loop()
        loop.call_later(self._sink.delay_seconds, self._say_taken)

    def _say_taken(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"250 2.0.0 Ok: queued as 4Xsink\r\n")


@contextmanager
def smtp_sink(*, delay_seconds: float = 0.0) -> Iterator[Sink]:
    """A sink on a free port of this machine, in a thread of its own."""
    sink = Sink(delay_seconds=delay_seconds)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(lambda: _Connection(sink), "127.0.0.1", 0, backlog=100)
    )
    sink.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="smtp-sink", daemon=True)
    thread.start()

    async def stop() -> None:
        server.close()
        for transport in list(sink.transports):
            transport.abort()
        await asyncio.sleep(0)

    try:
        yield sink
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def main() -> None:
    """Listen, say on which port, and go when standard input closes: a sink as a process."""
    with smtp_sink() as sink:
        sys.stdout.write(f"{sink.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
