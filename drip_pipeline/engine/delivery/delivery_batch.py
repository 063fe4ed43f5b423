"""Lease, render and settle one batch of deliveries of a channel, and log it in the batch log.

Used by every kind of delivery: recorded, sent, and shared posts.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final, TypeVar
from uuid import UUID, uuid4

from drip_pipeline.channels.protocol import DeliveryResult, Outcome, OutgoingMessage
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import frequency_caps as caps_db
from drip_pipeline.db.delivery import handing_over as handing_over_db
from drip_pipeline.db.delivery.deliveries import CONTACT_COLUMNS, LeasedDelivery, Quota, Recorded
from drip_pipeline.db.delivery.unknown_outcomes import UnknownOutcome, mark_unknown
from drip_pipeline.db.unreadable import Unreadable
from drip_pipeline.domain.run_variables import PERSONALIZATION_DATA, WORKFLOW_VARIABLES
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.delivery.cap_check import apply_caps
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.engine.delivery.erased_check import apply_erased
from drip_pipeline.engine.delivery.exit_check import apply_exits
from drip_pipeline.engine.delivery.holdout_check import apply_holdout
from drip_pipeline.engine.delivery.phone_numbers import with_numbers
from drip_pipeline.engine.delivery.render import (
    MessageSettings,
    PreparedNode,
    columns_read,
    error_code,
)
from drip_pipeline.engine.delivery.results import DeliveryCounts, SettleContext, storable
from drip_pipeline.engine.delivery.send_rules import HELD, apply_rules
from drip_pipeline.engine.delivery.set_aside import set_aside, skip
from drip_pipeline.engine.delivery.settle import (
    NOT_RECORDED,
    NOT_SETTLED,
    UNREADABLE_CONTACT,
    settle_results,
)
from drip_pipeline.engine.delivery.topic_check import apply_topics
from drip_pipeline.engine.execution.batch_log import (
    BatchLogEntry,
    NodeCounts,
    RunContext,
    count_per_node,
)
from drip_pipeline.engine.isolation import apply_isolating, describe, is_of_the_data
from drip_pipeline.engine.transports.settle_policy import SettlePolicy
from drip_pipeline.engine.transports.transport import Transport
from drip_pipeline.errors import (
    Conflict,
    DatabaseUnavailable,
    EmptyMessage,
    TemplateError,
    VersionNotFound,
)

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 300.0
PAUSED_SECONDS: Final = 300.0
"""How long a delivery of a paused enrollment is postponed."""
_PAUSES_SECONDS: Final = (0.1, 0.2, 0.4, 0.8, 1.6)
_ALL_COLUMNS: Final = (*CONTACT_COLUMNS, PERSONALIZATION_DATA, WORKFLOW_VARIABLES)

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
        self._unreadable: dict[UUID, str] = {}
        self._numbers: dict[UUID, str] = {}

    def eligible(self) -> list[LeasedDelivery]:
        """Return the leased deliveries that may be sent."""
        return [delivery for delivery in self.leased if delivery.blocked_reason is None]

    def lease(self, connection: Connection, quotas: Sequence[Quota]) -> DeliveryCounts:
        """Lease deliveries; ineligible ones are skipped, those of paused enrollments postponed."""
        self.leased, unreadable = deliveries_db.lease(
            connection,
            quotas,
            columns=_columns_read(connection, quotas),
            channel=self.channel,
            now=self.now,
        )
        if unreadable:
            self._unreadable = _unreadable_deliveries(connection, self.leased, unreadable)
        if self.channel == "sms":
            self.leased, self._numbers = with_numbers(connection, self.leased)
        self.leased = apply_erased(
            connection, quotas, self.leased, self._settings, channel=self.channel, now=self.now
        )
        self.leased = apply_holdout(connection, quotas, self.leased, self.now)
        self.leased, unconfirmed = apply_topics(connection, quotas, self.leased, now=self.now)
        self.leased, exits = apply_exits(connection, quotas, self.leased, self.now)
        checked = apply_rules(connection, self.leased, now=self.now, at=self.started_at)
        self.leased = checked.deliveries
        blocked: dict[str, list[LeasedDelivery]] = {}
        for delivery in self.leased:
            if delivery.blocked_reason is not None:
                blocked.setdefault(delivery.blocked_reason, []).append(delivery)
        blocked.pop(HELD, None)
        paused = blocked.pop("paused", [])
        if paused:
            due_at = self.now + timedelta(seconds=PAUSED_SECONDS)
            deliveries_db.postpone(connection, [delivery.id for delivery in paused], due_at)
        skipped = skip(connection, blocked, self.context, exits)
        # After the others are settled: they take no place under a cap.
        capped = apply_caps(connection, quotas, self.leased, channel=self.channel, now=self.now)
        self.leased = capped.deliveries
        skipped |= skip(connection, capped.skipped, self.context)
        held_by = {**unconfirmed, **checked.held, **capped.held}
        return DeliveryCounts(skipped=skipped, held=len(paused), held_by=held_by)

    def render(
        self, connection: Connection, transport: Transport | None = None
    ) -> tuple[list[OutgoingMessage], list[DeliveryResult], DeliveryCounts]:
        """Return the messages, the results of those that could not be rendered, and the number of
        those that have no content and are skipped. The transport's own sender and headers take
        precedence."""
        settings = self._settings
        if transport is not None and transport.sender:
            settings = replace(settings, mail_from=transport.sender)
        messages: list[OutgoingMessage] = []
        failures: list[DeliveryResult] = []
        empty: dict[str, list[LeasedDelivery]] = {}
        nodes: dict[tuple[int, int, str], PreparedNode] = {}
        self.rendered = []
        eligible = self.eligible()
        if self._unreadable:
            failures += [
                _failed(each.id, UNREADABLE_CONTACT, self._unreadable[each.id])
                for each in eligible
                if each.id in self._unreadable
            ]
            eligible = [each for each in eligible if each.id not in self._unreadable]
        for delivery in eligible:
            # By the integer: a UUID hashes in Python, once per message and lookup.
            key = (delivery.campaign_id.int, delivery.campaign_version, delivery.node_id)
            try:
                node = nodes.get(key)
                if node is None:
                    version = version_cache.version(connection, delivery.campaign_id, key[1])
                    node = nodes[key] = PreparedNode(version, key[2], settings)
                message = node.message(delivery, self.started_at)
            except EmptyMessage as error:
                empty.setdefault(error.reason, []).append(delivery)
                continue
            except Exception as error:
                if not is_of_the_data(error):
                    raise
                failures.append(_failed(delivery.id, error_code(error), describe(error)))
                continue
            if self._numbers:
                message = message._replace(recipient=self._numbers[delivery.id])
            if transport is not None and transport.headers:
                message = message._replace(headers={**transport.headers, **message.headers})
            messages.append(message)
            self.rendered.append(delivery)
        skipped = skip(connection, empty, self.context)
        return messages, failures, DeliveryCounts(skipped=skipped)

    def mark_sending(
        self,
        connection: Connection,
        messages: list[OutgoingMessage],
        transport: Transport,
        *,
        is_isolating: bool = False,
    ) -> tuple[list[OutgoingMessage], DeliveryCounts]:
        """Mark the messages as being sent, and return those that may be handed over. With
        `is_isolating`, those that the database refuses to mark are set aside.

        A message whose run ended since the lease, for example at its goal, is left out and skipped
        for the reason of the exit, as what the eligibility check blocks. So what ends a run before
        this call stops its message.
        """
        leased = {each.id: each for each in self.rendered}

        def mark(part: Sequence[OutgoingMessage]) -> Sequence[UUID]:
            return self._mark(connection, part, transport)

        def refuse(message: OutgoingMessage, error: Exception) -> None:
            caps_db.release(connection, [message.delivery_id])
            set_aside(connection, leased.pop(message.delivery_id), error, self.now)

        if is_isolating:
            parts = apply_isolating(connection, messages, mark, refuse)
            marked = [delivery_id for part in parts for delivery_id in part]
            messages = [message for message in messages if message.delivery_id in leased]
        else:
            marked = list(mark(messages))
        if len(marked) == len(messages):
            return messages, DeliveryCounts()
        sending = set(marked)
        leased = {key: each for key, each in leased.items() if key not in sending}
        left_out: dict[str, list[LeasedDelivery]] = {}
        for row in handing_over_db.reasons_left_out(connection, list(leased)):
            left_out.setdefault(row.reason, []).append(leased[row.id])
        caps_db.release(connection, list(leased))
        skipped = skip(connection, left_out, self.context)
        messages = [message for message in messages if message.delivery_id in sending]
        return messages, DeliveryCounts(skipped=skipped)

    def _mark(
        self, connection: Connection, messages: Sequence[OutgoingMessage], transport: Transport
    ) -> Sequence[UUID]:
        return handing_over_db.mark_sending(
            connection,
            [message.delivery_id for message in messages],
            transport=transport.key,
            channel_id=transport.channel_id,
            lease_token=uuid4(),
            leased_until=self.started_at + timedelta(seconds=LEASE_SECONDS),
            now=self.now,
        )

    def record(self, connection: Connection, messages: Sequence[OutgoingMessage]) -> None:
        """Store the messages that `render` returned without sending them."""
        rows = list(map(recorded, self.rendered, messages))
        deliveries_db.record(connection, rows, channel=self.channel, now=self.now)

    def record_isolating(
        self, connection: Connection, messages: Sequence[OutgoingMessage]
    ) -> tuple[list[OutgoingMessage], list[DeliveryResult]]:
        """Store messages as `record` does, after it failed: bisect them under savepoints until each
        message that cannot be stored is isolated. Return the stored ones, and the results of the
        others."""
        leased = {delivery.id: delivery for delivery in self.rendered}
        failures: list[DeliveryResult] = []

        def store(part: Sequence[OutgoingMessage]) -> Sequence[OutgoingMessage]:
            rows = [recorded(leased[each.delivery_id], each) for each in part]
            deliveries_db.record(connection, rows, channel=self.channel, now=self.now)
            return part

        def refuse(message: OutgoingMessage, error: Exception) -> None:
            failures.append(_failed(message.delivery_id, NOT_RECORDED, describe(error)))

        stored = apply_isolating(connection, messages, store, refuse)
        return [message for part in stored for message in part], failures

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
            soft_bounces=self._settings.soft_bounces,
        )

    def settle_isolating(
        self,
        connection: Connection,
        results: Sequence[DeliveryResult],
        policy: SettlePolicy | None = None,
        *,
        is_recorded: bool = False,
    ) -> DeliveryCounts:
        """Store results as `settle` does, after it failed, and isolate each that cannot be stored,
        for example because a trigger of an application refuses it.

        A message that was sent has an unknown outcome then, until an operator decides; one that was
        only recorded (`is_recorded`) has failed.
        """
        settled: list[DeliveryCounts] = []

        def settle(part: Sequence[DeliveryResult]) -> DeliveryCounts:
            return self.settle(connection, part, policy)

        def fail(result: DeliveryResult, error: Exception) -> None:
            failed = _failed(result.delivery_id, NOT_SETTLED, describe(error))
            settled.extend(apply_isolating(connection, [failed], settle, stay))

        def hold(result: DeliveryResult, error: Exception) -> None:
            row = UnknownOutcome(result.delivery_id, NOT_SETTLED, describe(error))
            settled.extend(apply_isolating(connection, [row], mark, leave))

        def mark(rows: Sequence[UnknownOutcome]) -> DeliveryCounts:
            return DeliveryCounts(unknown=mark_unknown(connection, rows, None))

        def stay(result: DeliveryResult, error: Exception) -> None:
            set_aside(connection, leased[result.delivery_id], error, self.now)

        def leave(row: UnknownOutcome, error: Exception) -> None:
            # Refused, too: the lease ends.
            set_aside(connection, leased[row.id], error, self.now)

        leased = {delivery.id: delivery for delivery in self.leased}
        cleaned = [storable(result) for result in results]
        settled += apply_isolating(connection, cleaned, settle, fail if is_recorded else hold)
        return sum(settled, DeliveryCounts())

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
            return _ALL_COLUMNS  # rendering reports the error
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


def _failed(delivery_id: UUID, error_code: str, error: str) -> DeliveryResult:
    return DeliveryResult(delivery_id, Outcome.REJECTED, error_code=error_code, error=error)


def _unreadable_deliveries(
    connection: Connection,
    leased: Sequence[LeasedDelivery],
    unreadable: Mapping[UUID, Sequence[Unreadable]],
) -> dict[UUID, str]:
    """Return why deliveries cannot be rendered: their message reads a value that cannot be read."""
    reasons: dict[UUID, str] = {}
    for delivery in leased:
        for value in unreadable.get(delivery.id, ()):
            columns: Collection[str] = _ALL_COLUMNS
            with suppress(TemplateError, VersionNotFound):  # reported when it is rendered
                version = version_cache.version(
                    connection, delivery.campaign_id, delivery.campaign_version
                )
                columns = columns_read(version, delivery.node_id)
            if value.column in columns:
                reasons[delivery.id] = value.describe(delivery.contact_id)
                break
    return reasons
