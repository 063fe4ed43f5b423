"""Channel rows as operators keep them: setting one up, listing them with the state of their ways
out, and bringing a way out back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.channels.config import read_config
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import channel_accounts as channels_db
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.engine.campaigns.workspaces import workspace_named
from drip_pipeline.errors import NotFound


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """A channel row that was written. `unread` are keys of its configuration that nobody reads."""

    channel_id: UUID
    slug: str
    category: str
    is_active: bool
    unread: tuple[str, ...]


def set_channel(
    database: Database,
    slug: str,
    *,
    category: str,
    platform: str | None,
    config: Mapping[str, Any],
    now: datetime,
    is_active: bool = True,
    workspace: str | None = None,
) -> ChannelReport:
    """Make a workspace's channel of this slug, or change it. Raises ChannelUnavailable for a
    configuration that cannot work, NotAllowed for an unclear workspace."""
    checked = read_config(category, platform, config, slug=slug)
    with database.transaction() as connection:
        channel_id = channels_db.upsert(
            connection,
            workspace_named(connection, workspace),
            slug=slug,
            name=slug,
            category=category,
            platform=platform,
            is_active=is_active,
            specs=config,
            now=now,
        )
    return ChannelReport(channel_id, slug, category, is_active, checked.unread_keys())


def list_transports(database: Database, *, now: datetime) -> list[dict[str, Any]]:
    """Every way out that was ever used, with its state and its provider's last words."""
    with database.transaction(is_read_only=True) as connection:
        return flow_db.all_transports(connection, now)


def reset_transport(database: Database, transport: str, *, now: datetime) -> None:
    """Close the breaker of a way out, and let an endpoint be called again that said it was gone.
    Raises NotFound."""
    with database.transaction() as connection:
        if not flow_db.reset(connection, transport, now):
            raise NotFound("transport", transport, hint="`drip channels list` shows what there is.")
