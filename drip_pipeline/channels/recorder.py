"""The recorder: keeps what would have gone out, and sends nothing. Always accepts.

It stands in for any channel (the default of DRIP_DELIVERY, tests, dry runs). Where recorded
messages are stored is the business of its sink.
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
"""A recorded message is the rendered message itself, whole."""

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
    """Hands every batch to `sink`, once and whole; without a sink it collects them in `messages`.

    If the sink raises, nothing counts as accepted: the error goes to the caller.
    """

    def __init__(self, name: str, sink: Sink | None = None) -> None:
        self._name = name
        self._lock = threading.Lock()
        self.messages: list[RecordedMessage] = []
        self._sink: Sink = self._collect if sink is None else sink

    @property
    def name(self) -> str:
        """The channel it stands in for."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Everything, idempotently."""
        return _CAPABILITIES

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Record them; all are accepted."""
        if messages:
            self._sink(messages)
        return [
            DeliveryResult(delivery_id=message.delivery_id, outcome=Outcome.ACCEPTED)
            for message in messages
        ]

    def check(self) -> list[Finding]:
        """Always fine; the finding reminds that nothing leaves."""
        told = f"{self._name} is recorded and not sent (DRIP_DELIVERY=record)"
        return [Finding(Severity.OK, "recorded", told)]

    def close(self) -> None:
        """Nothing to give back."""

    def _collect(self, messages: Sequence[RecordedMessage]) -> None:
        with self._lock:
            self.messages.extend(messages)
