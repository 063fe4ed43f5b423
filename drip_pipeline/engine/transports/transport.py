"""Transports: which configured provider account sends a step's messages, with its limits and
policies.

A category (email, sms …) has one transport per channel row. They are built in factory.py; rate
limits are in flow_control.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, Protocol, runtime_checkable
from urllib.parse import urlsplit
from uuid import UUID

from drip_pipeline.channels.config import ChannelConfig
from drip_pipeline.channels.protocol import Channel
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import channel_accounts as channels_db
from drip_pipeline.db.delivery.channel_accounts import ChannelRow
from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.domain.graph.nodes import SocialAction, WebhookAction
from drip_pipeline.engine.transports.settle_policy import SettlePolicy

_DIGEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Transport:
    """A provider account that sends messages. `key` identifies it in channel_flow. Without a
    `channel` nothing can be sent, and `problem` says why."""

    key: str
    category: str
    channel: Channel | None
    config: ChannelConfig = field(default_factory=ChannelConfig)
    channel_id: UUID | None = None
    sender: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def on_unknown(self) -> str:
        """The policy for messages with an unknown outcome."""
        if self.config.on_unknown is not None:
            return self.config.on_unknown
        is_idempotent = self.channel is not None and self.channel.capabilities.is_idempotent
        return "retry" if is_idempotent else "assume_sent"

    @property
    def per_hour(self) -> float | None:
        """Messages per hour: as configured, or the provider's documented limit."""
        documented = None if self.channel is None else self.channel.capabilities.per_hour
        return self.config.per_hour or documented

    @property
    def is_limited(self) -> bool:
        """Whether every message needs a permit."""
        limits = (self.config.per_second, self.per_hour, self.config.concurrency)
        return any(limit is not None for limit in limits)

    @property
    def policy(self) -> SettlePolicy:
        """How often a message is attempted, and how an unknown outcome is settled."""
        return SettlePolicy(self.config.max_retries + 1, self.on_unknown)


@runtime_checkable
class TransportSource(Protocol):
    """Provides the transports of a category."""

    def transport_for(self, rows: Sequence[ChannelRow], node: GraphNode | None) -> Transport:
        """Return the transport of a step's messages; `rows` are the workspace's of the category.
        Without a node (its version was deleted) it is the category's default."""


class SingleTransport:
    """One channel for all steps, for engines built without channel rows."""

    def __init__(self, channel: Channel) -> None:
        self._transport = Transport(channel.name, channel.name, channel)

    def transport_for(self, rows: Sequence[ChannelRow], node: GraphNode | None) -> Transport:
        """Return the transport; for webhooks, one per endpoint."""
        del rows
        return per_endpoint(self._transport, node)


def source_of(channel: Channel) -> TransportSource:
    """Return the source of a channel's transports."""
    return channel if isinstance(channel, TransportSource) else SingleTransport(channel)


def per_endpoint(transport: Transport, node: GraphNode | None) -> Transport:
    """Return a transport of its own for each webhook endpoint, so that a failing endpoint does not
    stop the others. Its URL may hold a secret, so the key has the host and a digest."""
    if node is None or not isinstance(node.config, WebhookAction):
        return transport
    return replace(transport, key=f"{transport.key}/{endpoint_name(node.config.url)}")


def endpoint_name(url: str) -> str:
    """Return the endpoint's host and a digest of its URL: `hooks.example.com/1a2b3c4d`."""
    digest = sha256(url.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{urlsplit(url).hostname or 'unknown'}/{digest}"


def chosen_row(
    rows: Sequence[ChannelRow], category: str, node: GraphNode | None
) -> ChannelRow | str | None:
    """Return the channel row of a step: the one it names, otherwise the workspace's only active row
    of the category (for posts, of the platform).

    Returns a text with the problem if the choice is impossible or ambiguous, and None if the
    transport of the settings is used.
    """
    if node is not None and node.channel_id is not None:
        named = next((row for row in rows if str(row.channel_id) == str(node.channel_id)), None)
        if named is None:
            return f"the step's channel is not of category {category}"
        return named if named.is_active else f"channel {named.slug!r} is switched off"
    active = [row for row in rows if row.is_active]
    if node is not None and isinstance(node.config, SocialAction):
        active = rows_for_platform(active, node.config.platform)
    if len(active) > 1:
        listed = ", ".join(sorted(row.slug for row in active))
        return f"several {category} channels are active ({listed}); name one in the step"
    return active[0] if active else None


def rows_for_platform(rows: Sequence[ChannelRow], platform: str) -> list[ChannelRow]:
    """Return the rows for a social platform: its own, otherwise publishing tools that accept it."""
    own = [row for row in rows if row.platform == platform]
    if own:
        return own
    tools = [row for row in rows if row.platform == "webhook"]
    return [row for row in tools if _serves(row, platform)]


def _serves(row: ChannelRow, platform: str) -> bool:
    served = row.specs.get("platforms") or ()
    return not served or platform in {str(name).lower() for name in served}


def load_rows(
    connection: Connection, category: str, workspace_ids: Sequence[UUID]
) -> dict[UUID, list[ChannelRow]]:
    """Return the channel rows of a category by workspace."""
    by_workspace: dict[UUID, list[ChannelRow]] = {}
    for row in channels_db.rows(connection, category, workspace_ids):
        by_workspace.setdefault(row.workspace_id, []).append(row)
    return by_workspace
