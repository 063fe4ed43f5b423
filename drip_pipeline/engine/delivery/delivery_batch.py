"""Lease, render and settle one batch of deliveries of a channel, and log it in the batch log.

Used by every kind of delivery: recorded, sent, and shared posts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeVar
from uuid import UUID, uuid4

from drip_pipeline.channels.protocol import DeliveryResult, Outcome, OutgoingMessage
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery.deliveries import CONTACT_COLUMNS, LeasedDelivery, Quota, Recorded
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.engine.delivery.render import MessageSettings, PreparedNode, columns_read
from drip_pipeline.engine.delivery.results import DeliveryCounts, SettleContext
from drip_pipeline.engine.delivery.settle import settle_results, settle_skipped
from drip_pipeline.engine.execution.batch_log import (
    BatchLogEntry,
    NodeCounts,
    RunContext,
    count_per_node,
)
from drip_pipeline.engine.transports.settle_policy import SettlePolicy
from drip_pipeline.engine.transports.transport import Transport
from drip_pipeline.errors import (
    Conflict,
    DatabaseUnavailable,
    DripError,
    TemplateError,
    VersionNotFound,
)

LEASE_SECONDS: Final = 300.0
PAUSED_SECONDS: Final = 300.0
"""How long a delivery of a paused enrollment is postponed."""
_PAUSES_SECONDS: Final = (0.1, 0.2, 0.4, 0.8, 1.6)

Result = TypeVar("Result")


class DeliveryBatch:
    """One batch of deliveries of one channel, from lease to batch log.

    Two times: `now` is the tick's logical time and is used for due dates and stored timestamps, so
    that a tick is a single instant for every enrollment. `started_at` is wall-clock time and is
    used for leases and rate limits.
    """

    def __init__(
        self,
        database: Database,
        channel: str,
        settings: MessageSettings,
        clock: ElapsedClock,
        run: RunContext,
    ) -> None:
        self.database = database
        self.channel = channel
        self.now = clock.start
        self.started_at = clock.now()
        self._clock = clock
        self._settings = settings
        self._entry = BatchLogEntry.begin(uuid4(), "deliver", self.now, run)
        self.context = SettleContext(channel, self._entry.batch_id, self.now)
        self.leased: list[LeasedDelivery] = []
        self.rendered: list[LeasedDelivery] = []
        """The deliveries of the messages that `render` returned, in the same order."""

    def eligible(self) -> list[LeasedDelivery]:
        """Return the leased deliveries that may be sent."""
        return [delivery for delivery in self.leased if delivery.blocked_reason is None]

    def lease(self, connection: Connection, quotas: Sequence[Quota]) -> DeliveryCounts:
        """Lease deliveries; ineligible ones are skipped, those of paused enrollments postponed."""
        self.leased = deliveries_db.lease(
            connection,
            quotas,
            columns=_columns_read(connection, quotas),
            channel=self.channel,
            now=self.now,
        )
        blocked: dict[str, list[LeasedDelivery]] = {}
        for delivery in self.leased:
            if delivery.blocked_reason is not None:
                blocked.setdefault(delivery.blocked_reason, []).append(delivery)
        paused = blocked.pop("paused", [])
        if paused:
            due_at = self.now + timedelta(seconds=PAUSED_SECONDS)
            deliveries_db.postpone(connection, [delivery.id for delivery in paused], due_at)
        if blocked:
            settle_skipped(connection, blocked, self.context)
        skipped = {reason: len(group) for reason, group in blocked.items()}
        return DeliveryCounts(skipped=skipped, held=len(paused))

    def render(
        self, connection: Connection, transport: Transport | None = None
    ) -> tuple[list[OutgoingMessage], list[DeliveryResult]]:
        """Return the messages, and the results of those that could not be rendered. The transport's
        own sender and headers take precedence."""
        settings = self._settings
        if transport is not None and transport.sender:
            settings = replace(settings, mail_from=transport.sender)
        messages: list[OutgoingMessage] = []
        failures: list[DeliveryResult] = []
        nodes: dict[tuple[int, int, str], PreparedNode] = {}
        self.rendered = []
        for delivery in self.eligible():
            # By the integer: a UUID hashes in Python, once per message and lookup.
            key = (delivery.campaign_id.int, delivery.campaign_version, delivery.node_id)
            try:
                node = nodes.get(key)
                if node is None:
                    version = version_cache.version(connection, delivery.campaign_id, key[1])
                    node = nodes[key] = PreparedNode(version, key[2], settings)
                message = node.message(delivery, self.started_at)
            except (TemplateError, VersionNotFound) as error:
                failures.append(_unrenderable(delivery.id, error))
                continue
            if transport is not None and transport.headers:
                message = message._replace(headers={**message.headers, **transport.headers})
            messages.append(message)
            self.rendered.append(delivery)
        return messages, failures

    def record(self, connection: Connection, messages: Sequence[OutgoingMessage]) -> None:
        """Store the messages that `render` returned without sending them."""
        rows = list(map(recorded, self.rendered, messages))
        deliveries_db.record(connection, rows, channel=self.channel, now=self.now)

    def settle(
        self,
        connection: Connection,
        results: Sequence[DeliveryResult],
        policy: SettlePolicy | None = None,
    ) -> DeliveryCounts:
        """Store the channel's results and move the workflow states."""
        return settle_results(
            connection,
            self.leased,
            results,
            self.context,
            answered_at=self._clock.now(),
            policy=policy or SettlePolicy(),
        )

    def log(self, connection: Connection, counts: DeliveryCounts) -> None:
        """Log the batch as committed, in the settling transaction."""
        if counts.total():
            self._entry.committed(connection, counts.sizes(), self._node_counts())

    def log_failure(self, error: Exception) -> None:
        """Log the batch as failed, in a transaction of its own."""
        self._entry.failed(self.database, error, self._node_counts())

    def _node_counts(self) -> NodeCounts:
        counts = Counter((d.campaign_id.int, d.campaign_version, d.node_id) for d in self.leased)
        return count_per_node(
            (UUID(int=c), v, node, count) for (c, v, node), count in counts.items()
        )


def _columns_read(connection: Connection, quotas: Sequence[Quota]) -> Collection[str]:
    columns: set[str] = set()
    for group in [quota.group for quota in quotas]:
        try:
            version = version_cache.version(connection, group.campaign_id, group.campaign_version)
            columns |= columns_read(version, group.node_id)
        except (TemplateError, VersionNotFound):
            return CONTACT_COLUMNS  # rendering reports the error
    return columns


def retry_with_backoff(transaction: Callable[[], Result]) -> Result:
    """Run a transaction, and repeat it on a conflict or a broken connection: without settlement,
    the outcome of messages already sent would be unknown."""
    return retry_on_conflict(transaction, is_retried=_is_temporary, pauses_seconds=_PAUSES_SECONDS)


def _is_temporary(error: Exception) -> bool:
    return isinstance(error, (Conflict, DatabaseUnavailable))


def recorded(delivery: LeasedDelivery, message: OutgoingMessage) -> Recorded:
    """Return the row that is stored for a recorded message."""
    return Recorded(
        message.delivery_id,
        delivery.workspace_id,
        delivery.campaign_id,
        delivery.enrollment_id,
        delivery.node_id,
        message.recipient,
        message.subject or None,
        message.preheader,
        message.text or None,
        message.html,
        message.payload or None,
    )


def _unrenderable(delivery_id: UUID, error: DripError) -> DeliveryResult:
    return DeliveryResult(
        delivery_id, Outcome.REJECTED, error_code="render_failed", error=str(error)
    )
