"""What a simulation reads: measured reactions, a sample of contacts, sends of other campaigns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.unreadable import Unreadable


class MeasuredReactions(NamedTuple):
    """Messages and what followed them; `node_id` is None for all messages of the channel. The hours
    are medians, None without such events."""

    node_id: str | None
    channel: str
    messages: int
    bounced: int
    opened: int
    clicked: int
    replied: int
    unsubscribed: int
    complained: int
    open_hours: float | None
    click_hours: float | None


class SampledContact(NamedTuple):
    """A contact of a sample. A value that cannot be read is None."""

    id: UUID
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


class ContactSend(NamedTuple):
    """A message to a contact that counts in frequency caps."""

    contact_id: UUID
    counted_at: datetime
    channel: str


class OtherSends(NamedTuple):
    """The mean number of messages of other campaigns in an hour of the week."""

    channel: str
    hour_of_week: int
    messages: float


def measured_reactions(
    connection: Connection,
    workspace_id: UUID,
    campaign_id: UUID | None,
    *,
    since: datetime,
    until: datetime,
) -> list[MeasuredReactions]:
    """Return what followed the messages of a workspace that were sent in a time range."""
    return queries.records(
        connection,
        "measured_reactions",
        MeasuredReactions,
        workspace_id=workspace_id,
        campaign_id=campaign_id,
        since=since,
        until=until,
    )


def sample(
    connection: Connection, workspace_id: UUID, *, seed: int, most: int
) -> list[SampledContact]:
    """Return up to `most` contacts of a workspace that may get messages."""
    rows, has_unreadable = queries.readable_records(
        connection,
        "simulation_sample",
        SampledContact,
        workspace_id=workspace_id,
        seed=str(seed),
        most=most,
    )
    if not has_unreadable:
        return rows
    return [
        SampledContact._make(None if isinstance(v, Unreadable) else v for v in row) for row in rows
    ]


def counted_sends(
    connection: Connection, contact_ids: Sequence[UUID], *, since: datetime
) -> list[ContactSend]:
    """Return the messages to contacts since a time that count in frequency caps."""
    return queries.records(
        connection, "counted_sends", ContactSend, contact_ids=list(contact_ids), since=since
    )


def sends_of_others(
    connection: Connection, workspace_id: UUID, campaign_id: UUID | None, *, until: datetime
) -> list[OtherSends]:
    """Return the mean sends of a workspace's other campaigns in the four weeks before a time."""
    return queries.records(
        connection,
        "sends_of_other_campaigns",
        OtherSends,
        workspace_id=workspace_id,
        campaign_id=campaign_id,
        until=until,
    )
