"""Put contacts on the suppression list of a channel, under the address that the channel uses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.domain.addresses import parse_phone


def suppress_contacts(
    connection: Connection,
    contacts: Sequence[tuple[UUID, str]],
    *,
    channel: str,
    source: str,
    now: datetime,
) -> int:
    """Suppress contacts, given as (contact id, reason), on a channel. Return how many are new.

    A number that cannot be read is stored as written, so that it stays on the list.
    """
    numbers: list[str | None] | None = None
    if channel == "sms":
        number_of: dict[UUID, str] = {}
        for row in deliveries_db.phones_of(connection, [contact_id for contact_id, _ in contacts]):
            number = parse_phone(row.phone, row.region)
            number_of[row.id] = number if isinstance(number, str) else row.phone
        numbers = [number_of.get(contact_id) for contact_id, _ in contacts]
    return deliveries_db.suppress(
        connection, contacts, channel=channel, source=source, now=now, numbers=numbers
    )
