"""The suppression list as such: putting addresses on it. The gate that reads it stands in
`deliveries`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class Suppression(NamedTuple):
    """An address that must not be written to; channel and campaign None: all of them."""

    address: str
    reason: str
    channel: str | None
    campaign_id: UUID | None


def insert(
    connection: Connection, workspace_id: UUID, rows: Sequence[Suppression], *, now: datetime
) -> int:
    """Put these on the list of a workspace; how many were not on it."""
    return queries.run(
        connection,
        "insert_suppressions",
        workspace_id=workspace_id,
        addresses=[row.address for row in rows],
        reasons=[row.reason for row in rows],
        channels=[row.channel for row in rows],
        campaign_ids=[row.campaign_id for row in rows],
        now=now,
    )


def campaigns(connection: Connection, workspace_id: UUID) -> list[tuple[UUID, str]]:
    """(id, name) of the workspace's campaigns."""
    return [
        (row[0], row[1])
        for row in queries.tuples(connection, "campaigns_of_workspace", workspace_id=workspace_id)
    ]


def latest_texts_to(connection: Connection, phone: str) -> list[tuple[UUID, UUID]]:
    """(workspace, message) of the latest text message to this number, per workspace."""
    found = queries.tuples(connection, "latest_texts_to", phone=phone)
    return [(row[0], row[1]) for row in found]


def suppress_phone(connection: Connection, phone: str, *, source: str, now: datetime) -> int:
    """Put a number on the list for text messages, wherever it is known; how many entries are
    new."""
    return queries.run(connection, "suppress_phone", phone=phone, source=source, now=now)


def readmit_phone(connection: Connection, phone: str) -> int:
    """Take a number off the list that its owner had put there; how many entries went."""
    return queries.run(connection, "readmit_phone", phone=phone)
