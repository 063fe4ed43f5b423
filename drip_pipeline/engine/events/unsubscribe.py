"""Unsubscribe the recipient of a message through its link.

The suppression takes effect immediately; the event, which ends the run, passes the inbox like all
other events.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import Arrival, MessageRecipient
from drip_pipeline.domain.addresses import parse_phone
from drip_pipeline.engine.events.payload_readers import LINKS

RECEIVER: Final = "receiver"
"""The source of entries that a link made; an event that is older does not lift them."""
_EVENT_OF: Final = {"email": "email_unsubscribed", "sms": "sms_opted_out"}


def recipient_of(database: Database, delivery_id: UUID) -> MessageRecipient | None:
    """Return the recipient of a message, None if there is no such message."""
    with database.transaction(is_read_only=True) as connection:
        return inbox_db.recipient_of(connection, delivery_id)


def unsubscribe(database: Database, delivery_id: UUID, *, now: datetime) -> bool:
    """Suppress the recipient of a message; False if there is no such message. Idempotent."""
    with database.transaction() as connection:
        recipient = inbox_db.recipient_of(connection, delivery_id)
        if recipient is None:
            return False
        inbox_db.unsubscribe(
            connection,
            delivery_id,
            number=number_of(recipient),
            source=RECEIVER,
            now=now,
        )
        # Once for each time that the person leaves: they may have come back meanwhile.
        left_at = inbox_db.left_at(connection, delivery_id)
        event = {
            "event_id": f"unsubscribe:{delivery_id}:{left_at}",
            "event_type": _EVENT_OF[recipient.channel],
            "occurred_at": now.isoformat(),
            "message_id": str(delivery_id),
        }
        inbox_db.append(connection, [Arrival(LINKS, orjson.dumps(event), now)])
    return True


def number_of(recipient: MessageRecipient) -> str | None:
    """Return the phone number of an SMS's recipient in E.164 form. A number that cannot be read is
    None: it is stored as written, so that it stays on the list.
    """
    number = parse_phone(recipient.phone, recipient.region) if recipient.phone else None
    return number if isinstance(number, str) else None
