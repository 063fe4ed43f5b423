"""A message for the tests of channels, with a canary in all personal data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from drip_pipeline.channels.protocol import OutgoingMessage

NAMESPACE = UUID("6f0e2c1a-7f3b-5c4d-9e8f-0123456789ab")
NOW = datetime(2026, 1, 28, 12, tzinfo=UTC)


def a_message(number: int = 0, **changes: Any) -> OutgoingMessage:
    """One message; `number` tells it from others."""
    values: dict[str, Any] = {
        "delivery_id": uuid5(NAMESPACE, str(number)),
        "channel": "any",
        "recipient": "",
        "created_at": NOW,
    }
    return OutgoingMessage(**(values | changes))
