"""The ways out: which configured provider a step's messages leave by, and what is known of it.

A category (email, sms …) has as many as its channel rows say; which one serves a step is decided
here. Building them from rows stands in transport_builders.py, how much they may take in flow.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """One way out. `key` names it in channel_flow. Without a `channel` nothing can leave, and
    `problem` says why."""

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
        """What to do with a message whose fate nobody knows."""
        if self.config.on_unknown is not None:
            return self.config.on_unknown
        is_idempotent = self.channel is not None and self.channel.capabilities.is_idempotent
        return "retry" if is_idempotent else "assume_sent"

    @property
    def per_hour(self) -> float | None:
        """Messages an hour: as configured, or as the provider is known to take."""
        known = None if self.channel is None else self.channel.capabilities.per_hour
        return self.config.per_hour or known

    @property
    def is_limited(self) -> bool:
        """Whether every message needs a permit."""
        limits = (self.config.per_second, self.per_hour, self.config.concurrency)
        return any(limit is not None for limit in limits)

    @property
    def policy(self) -> SettlePolicy:
        """How often a message is tried, and what then."""
        return SettlePolicy(self.config.max_retries + 1, self.on_unknown)


@runtime_checkable
class TransportSource(Protocol):
    """Where a category's ways out come from."""

    def transport_for(self, rows: Sequence[ChannelRow], node: GraphNode | None) -> Transport:
        """The way out of a step's messages; `rows` are the workspace's of the category. Without a
        node (its version is gone) it is the category's own."""


class SingleTransport:
    """One channel for everything: what an engine made by hand has."""

    def __init__(self, channel: Channel) -> None:
        self._transport = Transport(channel.name, channel.name, channel)

    def transport_for(self, rows: Sequence[ChannelRow], node: GraphNode | None) -> Transport:
        """The one channel; webhooks per endpoint."""
        del rows
        return per_endpoint(self._transport, node)


def source_of(channel: Channel) -> TransportSource:
    """What tells the ways out of a channel as the engine holds it."""
    return channel if isinstance(channel, TransportSource) else SingleTransport(channel)


def per_endpoint(transport: Transport, node: GraphNode | None) -> Transport:
    """Every endpoint of a webhook is a way out of its own: one that fails, or is gone, leaves the
    others alone. Its URL may hold a secret, so the key has the host and a digest."""
    if node is None or not isinstance(node.config, WebhookAction):
        return transport
    return Transport(
        key=f"{transport.key}/{endpoint_name(node.config.url)}",
        category=transport.category,
        channel=transport.channel,
        config=transport.config,
        channel_id=transport.channel_id,
        problem=transport.problem,
    )


def endpoint_name(url: str) -> str:
    """`hooks.example.com/1a2b3c4d`."""
    digest = sha256(url.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{urlsplit(url).hostname or 'unknown'}/{digest}"


def chosen_row(
    rows: Sequence[ChannelRow], category: str, node: GraphNode | None
) -> ChannelRow | str | None:
    """The channel row that serves a step: the one it names, else the workspace's only active one of
    the category (for posts, of those that serve the platform). A text says why there is none where
    there should be; None leaves it to the settings.
    """
    if node is not None and node.channel_id is not None:
        named = next((row for row in rows if str(row.channel_id) == str(node.channel_id)), None)
        if named is None:
            return f"the channel that the step names is none of category {category}"
        return named if named.is_active else f"channel {named.slug!r} is switched off"
    active = [row for row in rows if row.is_active]
    if node is not None and isinstance(node.config, SocialAction):
        active = rows_for_platform(active, node.config.platform)
    if len(active) > 1:
        listed = ", ".join(sorted(row.slug for row in active))
        return f"several {category} channels are active ({listed}); name one in the step"
    return active[0] if active else None


def rows_for_platform(rows: Sequence[ChannelRow], platform: str) -> list[ChannelRow]:
    """Rows that serve a social platform: its own, else publishing tools that take it."""
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
    """The channel rows of a category by workspace."""
    by_workspace: dict[UUID, list[ChannelRow]] = {}
    for row in channels_db.rows(connection, category, workspace_ids):
        by_workspace.setdefault(row.workspace_id, []).append(row)
    return by_workspace
