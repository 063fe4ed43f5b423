"""Somebody follows the unsubscribe link of a message: from that moment on they are written to no
more. The event, which ends their run, goes by way of the inbox like all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.engine.events.payload_readers import LINKS

_EVENT_OF: Final = {"email": "email_unsubscribed", "sms": "sms_opted_out"}


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who got a message, as far as unsubscribing goes."""

    contact_id: UUID
    is_unsubscribed: bool


def recipient_of(database: Database, delivery_id: UUID) -> Recipient | None:
    """Who got this message; None when there is no such message."""
    with database.transaction(is_read_only=True) as connection:
        found = inbox_db.recipient(connection, delivery_id)
    return None if found is None else Recipient(found["contact_id"], found["is_unsubscribed"])


def unsubscribe(database: Database, delivery_id: UUID, *, now: datetime) -> bool:
    """Take whoever got this message off the list, at once; False when there is no such message.
    Repeating it changes nothing.
    """
    with database.transaction() as connection:
        found = inbox_db.recipient(connection, delivery_id)
        if found is None:
            return False
        deliveries_db.suppress(
            connection,
            [(found["contact_id"], "unsubscribed")],
            channel=found["channel"],
            source=LINKS,
            now=now,
        )
        event = {
            "event_id": f"unsubscribe:{delivery_id}",
            "event_type": _EVENT_OF[found["channel"]],
            "occurred_at": now.isoformat(),
            "message_id": str(delivery_id),
        }
        inbox_db.append(connection, [Arrival(LINKS, orjson.dumps(event), now)])
    return True
