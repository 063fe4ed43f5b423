"""Configure channel rows, list the state of their transports, and re-enable a transport."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from drip_pipeline.channels.config import read_config
from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import channel_accounts as channels_db
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.db.delivery.channel_accounts import ChannelDefinition
from drip_pipeline.db.delivery.flow_control import TransportState
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.workspaces import workspace_named
from drip_pipeline.errors import NotFound


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """A channel row that was written. `unread` are unknown keys of its configuration."""

    channel_id: UUID
    slug: str
    category: str
    is_active: bool
    unread: tuple[str, ...]


def set_channel(
    database: Database,
    channel: ChannelDefinition,
    *,
    now: datetime,
    workspace: str | None = None,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> ChannelReport:
    """Create a workspace's channel, or change the one of this slug.

    Raises ChannelUnavailable for an invalid configuration, NotAllowed for an unclear workspace.
    """
    config = read_config(channel.category, channel.platform, channel.specs, slug=channel.slug)
    with database.transaction() as connection:
        workspace_id = workspace_named(connection, workspace)
        channel_id = channels_db.upsert(connection, workspace_id, channel, now)
        audit.record(
            connection,
            actor,
            "set_channel",
            audit.Subject("channel", workspace_id, channel_id, channel.slug),
            now=now,
            reason=reason,
            details={"category": channel.category, "is_active": channel.is_active},
        )
    return ChannelReport(
        channel_id, channel.slug, channel.category, channel.is_active, config.unread_keys()
    )


def list_transports(database: Database, *, now: datetime) -> list[TransportState]:
    """Return every transport that was ever used, with its state and the last provider response."""
    with database.transaction(is_read_only=True) as connection:
        return flow_db.all_transports(connection, now)


def reset_transport(
    database: Database,
    transport: str,
    *,
    now: datetime,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> None:
    """Close the breaker of a transport and re-enable an endpoint that answered 410 Gone. Raises
    NotFound."""
    with database.transaction() as connection:
        if not flow_db.reset(connection, transport, now):
            raise NotFound("transport", transport, hint="`drip channels list` lists them.")
        audit.record(
            connection,
            actor,
            "reset_transport",
            audit.Subject("channel", None, name=transport),
            now=now,
            reason=reason,
        )
