"""The channels of an engine that sends: per category, all transports of the settings and of the
workspaces' current channel rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Final
from uuid import UUID

from drip_pipeline.channels.protocol import (
    Capabilities,
    Channel,
    DeliveryResult,
    Finding,
    Outcome,
    OutgoingMessage,
    Severity,
)
from drip_pipeline.db.delivery.channel_accounts import MESSAGE_CATEGORIES, ChannelRow
from drip_pipeline.domain.graph.graph import GraphNode
from drip_pipeline.engine.transports.factory import row_transport, settings_transport
from drip_pipeline.engine.transports.transport import Transport, chosen_row, per_endpoint
from drip_pipeline.settings import Settings

_CAPABILITIES: Final = Capabilities(is_idempotent=False, max_batch=1_000)


def sending_channels(settings: Settings) -> dict[str, Channel]:
    """Return one channel per category. A category without configuration reports a problem when
    something is due."""
    return {category: CategoryChannel(category, settings) for category in MESSAGE_CATEGORIES}


class CategoryChannel:
    """All transports of a category. A row's channel is rebuilt when the row changes."""

    capabilities: Final = _CAPABILITIES

    def __init__(self, category: str, settings: Settings) -> None:
        self.name: Final = category
        self._settings = settings
        self._lock = Lock()
        self._default: Transport | None = None
        self._built: dict[UUID, tuple[ChannelRow, Transport]] = {}
        self._replaced: list[Transport] = []

    def transport_for(self, rows: Sequence[ChannelRow], node: GraphNode | None) -> Transport:
        """Return the transport of a step's messages; `rows` are the workspace's of the category."""
        row = chosen_row(rows, self.name, node)
        if isinstance(row, str):
            return Transport(f"{self.name}/none", self.name, None, problem=row)
        return per_endpoint(self.default if row is None else self.transport_of(row), node)

    @property
    def default(self) -> Transport:
        """The transport of the settings alone."""
        with self._lock:
            if self._default is None:
                self._default = settings_transport(self.name, self._settings)
            return self._default

    def transport_of(self, row: ChannelRow) -> Transport:
        """Return the transport of a channel row."""
        with self._lock:
            built = self._built.get(row.channel_id)
            if built is not None and built[0] == row:
                return built[1]
            if built is not None:
                self._replaced.append(built[1])  # a worker may still be sending by it
            transport = row_transport(row, self._settings)
            self._built[row.channel_id] = (row, transport)
            return transport

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Send by the transport of the settings."""
        transport = self.default
        if transport.channel is not None:
            return transport.channel.send(messages)
        return [
            DeliveryResult(
                delivery_id=message.delivery_id,
                outcome=Outcome.NOT_SENT,
                error_code="not_set_up",
                error=transport.problem,
                is_provider_fault=True,
            )
            for message in messages
        ]

    def check(self) -> list[Finding]:
        """Check the transport of the settings."""
        transport = self.default
        if transport.channel is None:
            return [Finding(Severity.WARNING, "not_set_up", transport.problem)]
        return transport.channel.check()

    def close(self) -> None:
        """Close all connections; sending again opens new ones."""
        with self._lock:
            transports = [transport for _, transport in self._built.values()] + self._replaced
            if self._default is not None:
                transports.append(self._default)
            self._replaced = []
        for transport in transports:
            if transport.channel is not None:
                transport.channel.close()
