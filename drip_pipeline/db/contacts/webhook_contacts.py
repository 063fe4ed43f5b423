"""Queries of calls of trigger webhooks: merge their contacts, and find them by address.

They call functions that the receiver's role `drip_trigger` may execute, because it cannot read
contacts: sql/functions/receiver_triggers.sql.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.db.contacts.contacts import StagedContact


class CallMerge(NamedTuple):
    """The number of new contacts, and the lines that the table kept out."""

    inserted: int
    refused: Sequence[int]


class ContactOfCall(NamedTuple):
    """A contact and its canonical address."""

    address: str
    contact_id: UUID


def merge(
    connection: Connection,
    campaign_id: UUID,
    rows: Sequence[StagedContact],
    *,
    now: datetime,
    refusals_only: bool = False,
) -> CallMerge:
    """Merge the contacts of a call into those of the campaign's workspace.

    With `refusals_only`, only suppress the addresses of rows that refuse messages.
    """
    (merged,) = queries.records(
        connection,
        "merge_contacts_of_call",
        CallMerge,
        campaign_id=campaign_id,
        rows=dump_json([_json(row) for row in rows]).decode(),
        refusals_only=refusals_only,
        now=now,
    )
    return merged


def _json(row: StagedContact) -> dict[str, object]:
    return {**row._asdict(), "custom_fields": orjson.Fragment(row.custom_fields)}


def contacts_by_address(
    connection: Connection, campaign_id: UUID, addresses: Sequence[str]
) -> dict[str, UUID]:
    """Return the contacts of the campaign's workspace by their canonical addresses; lock them for
    enrolling them, and wait for transactions that have locked them."""
    return dict(
        queries.records(
            connection,
            "contacts_of_call",
            ContactOfCall,
            campaign_id=campaign_id,
            addresses=list(addresses),
        )
    )
