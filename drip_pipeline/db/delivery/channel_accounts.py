"""Queries of `campaign_channels`: the provider accounts that messages are sent by.

The contents of `specs` are validated in channels/config.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection

MESSAGE_CATEGORIES: Final = ("email", "sms", "social", "webhook")


class ChannelRow(NamedTuple):
    """A channel row; `specs` is empty where the column holds no JSON object."""

    channel_id: UUID
    workspace_id: UUID
    slug: str
    channel_name: str
    category: str
    platform: str | None
    is_active: bool
    specs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChannelDefinition:
    """A channel as an operator configures it; `specs` is its configuration."""

    slug: str
    category: str
    platform: str | None = None
    specs: Mapping[str, Any] | None = None
    is_active: bool = True


def rows(
    connection: Connection,
    category: str | None = None,
    workspace_ids: Sequence[UUID] | None = None,
) -> list[ChannelRow]:
    """Return the channel rows of a category, or of all categories of messages."""
    return queries.records(
        connection,
        "channel_rows",
        ChannelRow,
        categories=list(MESSAGE_CATEGORIES) if category is None else [category],
        workspace_ids=None if workspace_ids is None else list(workspace_ids),
    )


def upsert(
    connection: Connection, workspace_id: UUID, channel: ChannelDefinition, now: datetime
) -> UUID:
    """Create a channel row, or change the workspace's row of this slug; return its id."""
    channel_id: UUID = queries.scalar(
        connection,
        "upsert_channel",
        workspace_id=workspace_id,
        slug=channel.slug,
        name=channel.slug,
        category=channel.category,
        platform=channel.platform,
        is_active=channel.is_active,
        specs=dict(channel.specs or {}),
        now=now,
    )
    return channel_id
