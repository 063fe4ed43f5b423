"""Rows of campaign_channels, as far as messages go over them. What their `specs` say is judged by
the channels themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection

MESSAGE_CATEGORIES: Final = ("email", "sms", "social", "webhook")


class ChannelRow(NamedTuple):
    """One row; `specs` is empty where the column holds no object."""

    channel_id: UUID
    workspace_id: UUID
    slug: str
    channel_name: str
    category: str
    platform: str | None
    is_active: bool
    specs: Mapping[str, Any]


def rows(
    connection: Connection,
    category: str | None = None,
    workspace_ids: Sequence[UUID] | None = None,
) -> list[ChannelRow]:
    """Channel rows of one category, or of all that messages go over."""
    found = queries.tuples(
        connection,
        "channel_rows",
        categories=list(MESSAGE_CATEGORIES) if category is None else [category],
        workspace_ids=None if workspace_ids is None else list(workspace_ids),
    )
    return [
        ChannelRow._make((*row[:7], row[7] if isinstance(row[7], dict) else {})) for row in found
    ]


def upsert(
    connection: Connection,
    workspace_id: UUID,
    *,
    slug: str,
    name: str,
    category: str,
    platform: str | None,
    is_active: bool,
    specs: Mapping[str, Any],
    now: datetime,
) -> UUID:
    """Make a channel row, or change the one of this slug."""
    made: UUID = queries.scalar(
        connection,
        "upsert_channel",
        workspace_id=workspace_id,
        slug=slug,
        name=name,
        category=category,
        platform=platform,
        is_active=is_active,
        specs=dict(specs),
        now=now,
    )
    return made
