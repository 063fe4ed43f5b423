"""Disconnect clients that send the head of a request too slowly, or an endless one; uvicorn has no
such limit. The timeout of bodies is in endpoint_guard.py.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS: Final = 10.0
MOST_HEAD_BYTES: Final = 32 * 1024


class HeaderTimeoutProtocol(HttpToolsProtocol):
    """A connection with a time limit and a size limit for the head of each request."""

    head_seconds = HEAD_SECONDS
    most_head_bytes = MOST_HEAD_BYTES

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._field_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of a new connection."""
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer of a closed connection."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of the head."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle  # None before the first request
        if self._head_timer is None and (cycle is None or cycle.response_complete):
            # Data after a completed request, which is not a request yet.
            self._begin_head()
        if self._head_timer is not None and self._head_bytes > self.most_head_bytes:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Start the timer of a request."""
        self._field_bytes = 0
        super().on_message_begin()
        if self._head_timer is None:
            self._begin_head()

    def on_url(self, url: bytes) -> None:
        """Count the bytes of the path."""
        self._count_field(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count the bytes of a header."""
        self._count_field(name, value)
        super().on_header(name, value)

    def _count_field(self, *parts: bytes) -> None:
        # A head that arrives in one piece, or after another request, is counted here only.
        self._field_bytes += sum(map(len, parts))
        if self._field_bytes > self.most_head_bytes:
            raise ValueError("the head is too large")  # the parser answers with 400

    def on_headers_complete(self) -> None:
        """Stop the timer: the head is complete."""
        self._end_head()
        super().on_headers_complete()

    def _begin_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.abort()
