"""Contacts for previews and test messages; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.unreadable import Unreadable


class PreviewContact(NamedTuple):
    """A contact, with the entry data and the variables of its latest run of a campaign; None
    without a run. A value that cannot be read is None."""

    id: UUID
    workspace_id: UUID
    name: str | None
    email: str | None
    company: str | None
    phone: str | None
    job_title: str | None
    ai_score: int | None
    status: str | None
    tags: Sequence[str] | None
    custom_fields: Mapping[str, Any] | None
    last_interaction: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    personalization_data: Mapping[str, Any] | None
    workflow_variables: Mapping[str, Any] | None


class RefusedAddress(NamedTuple):
    """An address on the workspace's suppression list, and why."""

    address: str
    reason: str


def contacts(
    connection: Connection, workspace_id: UUID, campaign_id: UUID | None, *, most: int
) -> list[PreviewContact]:
    """Return up to `most` contacts of a workspace that have an address, in the order of their
    ids."""
    return _read(connection, workspace_id, campaign_id, None, None, most)


def contact(
    connection: Connection,
    workspace_id: UUID,
    campaign_id: UUID | None,
    email_or_id: str,
    contact_id: UUID | None,
) -> PreviewContact | None:
    """Return the contact with this address or id; None if the workspace has none."""
    rows = _read(connection, workspace_id, campaign_id, email_or_id, contact_id, 1)
    return rows[0] if rows else None


def refused_addresses(
    connection: Connection, workspace_id: UUID, addresses: Sequence[str]
) -> list[RefusedAddress]:
    """Return the addresses, of these, that the workspace's suppression list has."""
    return queries.records(
        connection,
        "refused_addresses",
        RefusedAddress,
        workspace_id=workspace_id,
        addresses=list(addresses),
    )


def _read(
    connection: Connection,
    workspace_id: UUID,
    campaign_id: UUID | None,
    email_or_id: str | None,
    contact_id: UUID | None,
    most: int,
) -> list[PreviewContact]:
    rows, has_unreadable = queries.readable_records(
        connection,
        "preview_contacts",
        PreviewContact,
        workspace_id=workspace_id,
        campaign_id=campaign_id,
        contact=email_or_id,
        contact_id=contact_id,
        most=most,
    )
    if not has_unreadable:
        return rows
    return [
        PreviewContact._make(None if isinstance(v, Unreadable) else v for v in row) for row in rows
    ]
