"""Queries that change the suppression list. The eligibility check belongs to db/delivery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class Suppression(NamedTuple):
    """An address to suppress; without a channel or campaign, for all of them."""

    address: str
    reason: str
    channel: str | None
    campaign_id: UUID | None


class WorkspaceCampaign(NamedTuple):
    """A campaign that a suppression list may name."""

    id: UUID
    name: str


class LatestSms(NamedTuple):
    """The latest SMS to a number in a workspace."""

    workspace_id: UUID
    message_id: UUID


def insert(
    connection: Connection, workspace_id: UUID, rows: Sequence[Suppression], *, now: datetime
) -> int:
    """Add addresses to the suppression list of a workspace. Return the number of new entries."""
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


def campaigns(connection: Connection, workspace_id: UUID) -> list[WorkspaceCampaign]:
    """Return the campaigns of a workspace."""
    return queries.records(
        connection, "campaigns_of_workspace", WorkspaceCampaign, workspace_id=workspace_id
    )


def latest_sms_to(connection: Connection, phone: str) -> list[LatestSms]:
    """Return the latest SMS to this number, per workspace."""
    return queries.records(connection, "latest_sms_to", LatestSms, phone=phone)


def suppress_phone(connection: Connection, phone: str, *, source: str, now: datetime) -> int:
    """Suppress a number for SMS in all workspaces with it. Return the number of new entries."""
    return queries.run(connection, "suppress_phone", phone=phone, source=source, now=now)


def readmit_phone(connection: Connection, phone: str) -> int:
    """Delete the suppressions of a number that its owner requested. Return their number."""
    return queries.run(connection, "readmit_phone", phone=phone)
