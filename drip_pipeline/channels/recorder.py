"""The recorder: accepts every message and sends nothing.

It replaces any channel (the default of DRIP_DELIVERY, tests, dry runs). Its sink decides where the
messages are stored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from drip_pipeline.channels.protocol import (
    Capabilities,
    DeliveryResult,
    Finding,
    Outcome,
    OutgoingMessage,
    Severity,
)

RecordedMessage = OutgoingMessage
"""A recorded message is the complete rendered message."""

Sink = Callable[[Sequence[RecordedMessage]], None]

_CAPABILITIES: Final = Capabilities(
    is_idempotent=True,
    max_batch=100_000,
    has_subject=True,
    has_html=True,
    has_media=True,
    has_schedule=True,
    is_recorder=True,
)


class RecorderChannel:
    """Passes every batch to `sink` once; without a sink it collects the messages in `messages`.

    If the sink raises, no message is accepted and the error is raised to the caller.
    """

    capabilities: Capabilities = _CAPABILITIES

    def __init__(self, name: str, sink: Sink | None = None) -> None:
        self.name: Final = name
        self._lock = threading.Lock()
        self.messages: list[RecordedMessage] = []
        self._sink: Sink = self._collect if sink is None else sink

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Record the messages; all are accepted."""
        if messages:
            self._sink(messages)
        return [
            DeliveryResult(delivery_id=message.delivery_id, outcome=Outcome.ACCEPTED)
            for message in messages
        ]

    def check(self) -> list[Finding]:
        """Return one finding: nothing is sent."""
        message = f"{self.name} is recorded and not sent (DRIP_DELIVERY=record)"
        return [Finding(Severity.OK, "recorded", message)]

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def _collect(self, messages: Sequence[RecordedMessage]) -> None:
        with self._lock:
            self.messages.extend(messages)
