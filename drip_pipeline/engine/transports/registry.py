"""The channels of an engine that sends: per category all its ways out, as the settings and the
workspaces' channel rows have them at the moment.
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
    """A channel per category; what is not set up says so when something is due for it."""
    return {category: CategoryChannel(category, settings) for category in MESSAGE_CATEGORIES}


class CategoryChannel:
    """All ways out of a category. A row's channel is built once and again when the row changes."""

    def __init__(self, category: str, settings: Settings) -> None:
        self._category = category
        self._settings = settings
        self._lock = Lock()
        self._default: Transport | None = None
        self._built: dict[UUID, tuple[ChannelRow, Transport]] = {}
        self._outlived: list[Transport] = []

    @property
    def name(self) -> str:
        """The category."""
        return self._category

    @property
    def capabilities(self) -> Capabilities:
        """What holds for all its ways out; each has its own."""
        return _CAPABILITIES

    def transport_for(self, rows: Sequence[ChannelRow], node: GraphNode | None) -> Transport:
        """The way out of a step's messages; `rows` are the workspace's of the category."""
        row = chosen_row(rows, self._category, node)
        if isinstance(row, str):
            return Transport(f"{self._category}/none", self._category, None, problem=row)
        return per_endpoint(self.default if row is None else self.transport_of(row), node)

    @property
    def default(self) -> Transport:
        """The way out that the settings alone give."""
        with self._lock:
            if self._default is None:
                self._default = settings_transport(self._category, self._settings)
            return self._default

    def transport_of(self, row: ChannelRow) -> Transport:
        """The way out of a channel row."""
        with self._lock:
            known = self._built.get(row.channel_id)
            if known is not None and known[0] == row:
                return known[1]
            if known is not None:
                self._outlived.append(known[1])  # a worker may be sending by it at this moment
            transport = row_transport(row, self._settings)
            self._built[row.channel_id] = (row, transport)
            return transport

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        """Send by the settings' own way out."""
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
        """Check the settings' own way out."""
        transport = self.default
        if transport.channel is None:
            return [Finding(Severity.WARNING, "not_set_up", transport.problem)]
        return transport.channel.check()

    def close(self) -> None:
        """Close all connections; sending again opens new ones."""
        with self._lock:
            transports = [transport for _, transport in self._built.values()] + self._outlived
            if self._default is not None:
                transports.append(self._default)
            self._outlived = []
        for transport in transports:
            if transport.channel is not None:
                transport.channel.close()
