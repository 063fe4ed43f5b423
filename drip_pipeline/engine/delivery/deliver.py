"""Deliver everything due of a channel, with several workers per process.

A recording channel is settled in the transaction that leases: nothing is sent, so no outcome can be
unknown. A sending channel gets small batches. They are marked `sending` and committed before they
are handed over, and settled afterwards in a second transaction; no transaction is open during a
call to a provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from time import sleep
from typing import Final

from drip_pipeline.channels.protocol import Channel, DeliveryResult, OutgoingMessage
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.db.delivery.deliveries import Quota
from drip_pipeline.engine.deadline import NO_DEADLINE, Deadline
from drip_pipeline.engine.delivery.broadcast import deliver_broadcasts
from drip_pipeline.engine.delivery.delivery_batch import (
    DeliveryBatch,
    retry_with_backoff,
)
from drip_pipeline.engine.delivery.dispatch_plan import DispatchPlanner, TransportQueue
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.engine.delivery.fair_share import by_priority, fair_quotas
from drip_pipeline.engine.delivery.group_priorities import ranks_of
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.delivery.results import DeliveryCounts
from drip_pipeline.engine.execution.batch_log import NO_RUN, RunContext
from drip_pipeline.engine.gc_pause import no_collection
from drip_pipeline.engine.isolation import is_of_the_data
from drip_pipeline.engine.transports import flow_control as flow
from drip_pipeline.engine.transports.transport import source_of

SENDING_WORKERS: Final = 4
"""Threads of a process that send messages of one channel."""
MAX_SENDING: Final = 50
"""Messages marked `sending` at a time in a process, over all its workers: the most whose outcome a
kill can leave unknown where the provider does not recognize repeated messages."""
IDEMPOTENT_BATCH: Final = 50
SKIPPED_BATCH: Final = 500
LONGEST_WAIT_SECONDS: Final = 30.0
MAX_WAIT_SECONDS: Final = 50.0
"""How long the workers of a call keep waiting for permits: a tick must end within its minute, and
the process has other channels to deliver."""


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """Limits of one call: deliveries per batch, deadline, threads."""

    batch_size: int
    deadline: Deadline = NO_DEADLINE
    workers: int = SENDING_WORKERS


def deliver_due(
    database: Database,
    channel: Channel,
    *,
    settings: MessageSettings,
    now: datetime,
    limits: DeliveryLimits,
    run: RunContext = NO_RUN,
) -> DeliveryCounts:
    """Deliver until nothing is left that may be sent now, or the deadline has passed.

    Deliveries of failing transports stay due, and the errors are in the counts' `faults`. Raises
    the error of a failed batch after logging it.
    """
    dispatch = _Dispatch(database, channel, settings, now, limits, run)
    if channel.capabilities.is_recorder or channel.name == "social":
        return dispatch.work()
    total = DeliveryCounts()
    with ThreadPoolExecutor(limits.workers, thread_name_prefix=f"deliver-{channel.name}") as pool:
        for counts in pool.map(lambda _: dispatch.work(), range(limits.workers)):
            total += counts
    return total


class _Dispatch:
    """The work of one call, shared by its workers."""

    def __init__(
        self,
        database: Database,
        channel: Channel,
        settings: MessageSettings,
        now: datetime,
        limits: DeliveryLimits,
        run: RunContext,
    ) -> None:
        self._database = database
        self._channel = channel
        self._settings = settings
        self._limits = limits
        self._run = run
        self._max_batch = max(1, min(limits.batch_size, MAX_SENDING // limits.workers))
        self._clock = ElapsedClock(now, is_stopped=channel.capabilities.is_recorder)
        self._planner = DispatchPlanner(
            database,
            channel.name,
            source_of(channel),
            self._clock,
            count_limit=max(SKIPPED_BATCH, IDEMPOTENT_BATCH),
        )

    def work(self) -> DeliveryCounts:
        """Deliver batch after batch, until nothing can be sent now or the deadline has passed."""
        deadline = self._limits.deadline
        total = DeliveryCounts()
        has_waited = False
        while not deadline.is_over():
            if has_waited and self._clock.elapsed_seconds() > MAX_WAIT_SECONDS:
                break
            counts = self._next_batch()
            total += counts
            if counts.total() or counts.posts:
                continue
            seconds = self._planner.wait_seconds(LONGEST_WAIT_SECONDS)
            if seconds is None or self._clock.elapsed_seconds() + seconds > MAX_WAIT_SECONDS:
                break
            if deadline.is_over(in_seconds=seconds):
                break
            sleep(min(seconds, 1.0))
            has_waited = True
        return total

    def _next_batch(self) -> DeliveryCounts:
        """Deliver one batch of one transport, if there is any."""
        if self._channel.name == "social":
            return deliver_broadcasts(self._new_batch(), self._planner, self._channel, self._clock)
        if self._channel.capabilities.is_recorder:
            # Around the call, so that the batch's objects are freed before the collector runs.
            with no_collection():
                return self._record()
        began = self._clock.elapsed_seconds()
        for newer_than in (None, began):  # the present plan first, then a new one
            for queue in self._planner.queues(newer_than_seconds=newer_than):
                if queue.is_ready(self._clock.now()):
                    counts = self._send(queue)
                    if counts.total():
                        return counts
        return DeliveryCounts(faults=self._planner.faults())

    def _new_batch(self) -> DeliveryBatch:
        return DeliveryBatch(
            self._database, self._channel.name, self._settings, self._clock, self._run
        )

    def _record(self) -> DeliveryCounts:
        """Lease, record and settle in one transaction.

        If the messages cannot be stored together, the transaction is repeated and isolates those
        that cannot be stored at all.
        """
        try:
            return self._record_batch()
        except Exception as error:
            if not is_of_the_data(error):
                raise
            return self._record_batch(is_isolating=True)

    def _record_batch(self, *, is_isolating: bool = False) -> DeliveryCounts:
        batch = self._new_batch()
        batch_size = self._limits.batch_size
        try:
            with self._database.transaction() as connection:
                groups = deliveries_db.due_groups(
                    connection, channel=self._channel.name, count_limit=batch_size, now=batch.now
                )
                requested = [group.due for group in groups]
                shares = fair_quotas(requested, batch_size)
                ranks = ranks_of(connection, groups, batch.now)
                if ranks is not None:
                    shares = by_priority(requested, shares, ranks)
                quotas = [
                    Quota(group, share)
                    for group, share in zip(groups, shares, strict=True)
                    if share
                ]
                counts = batch.lease(connection, quotas) if quotas else DeliveryCounts()
                messages, failures, skipped = batch.render(connection)
                counts += skipped
                if is_isolating:
                    messages, refused = batch.record_isolating(connection, messages)
                    failures += refused
                else:
                    batch.record(connection, messages)
                results = [*self._channel.send(messages), *failures]
                if is_isolating:
                    counts += batch.settle_isolating(connection, results, is_recorded=True)
                else:
                    counts += batch.settle(connection, results)
                batch.log(connection, counts)
            return counts
        except Exception as error:
            if is_isolating or not is_of_the_data(error):
                batch.log_failure(error)
            raise

    def _send(self, queue: TransportQueue) -> DeliveryCounts:
        """Lease and mark a batch, send it, settle it."""
        batch = self._new_batch()
        try:
            counts, messages = self._leased(queue, batch)
            if not messages:
                return counts
            assert queue.transport.channel is not None
            results = queue.transport.channel.send(messages)
            return counts + self._settled(queue, batch, results, counts)
        except Exception as error:
            batch.log_failure(error)
            raise

    def _settled(
        self,
        queue: TransportQueue,
        batch: DeliveryBatch,
        results: Sequence[DeliveryResult],
        leased: DeliveryCounts,
    ) -> DeliveryCounts:
        """Settle a batch that was sent.

        If an outcome cannot be stored, each is settled without characters that PostgreSQL cannot
        store, and those that are still refused are isolated: otherwise the outcome of the whole
        batch would be unknown.
        """
        try:
            return retry_with_backoff(lambda: self._settle(queue, batch, results, leased))
        except Exception as error:
            if not is_of_the_data(error):
                raise
            return retry_with_backoff(
                lambda: self._settle(queue, batch, results, leased, is_isolating=True)
            )

    def _leased(
        self, queue: TransportQueue, batch: DeliveryBatch
    ) -> tuple[DeliveryCounts, list[OutgoingMessage]]:
        """Lease and mark a batch. If the messages cannot be marked together, the transaction is
        repeated and sets those aside that cannot be marked at all."""

        def lease(*, is_isolating: bool) -> tuple[DeliveryCounts, list[OutgoingMessage]]:
            with self._database.transaction() as connection:
                return self._lease(connection, queue, batch, is_isolating=is_isolating)

        try:
            return retry_with_backoff(lambda: lease(is_isolating=False))
        except Exception as error:
            if not is_of_the_data(error):
                raise
            return retry_with_backoff(lambda: lease(is_isolating=True))

    def _lease(
        self,
        connection: Connection,
        queue: TransportQueue,
        batch: DeliveryBatch,
        *,
        is_isolating: bool,
    ) -> tuple[DeliveryCounts, list[OutgoingMessage]]:
        transport = queue.transport
        permits = requested = self._batch_size(queue)
        takes_permits = queue.needs_permits and not queue.is_disabled
        if takes_permits:
            permits = queue.take_permits(connection, requested, batch.started_at)
            if not permits:
                return DeliveryCounts(), []
        quotas = queue.quotas(permits, self._planner.turn())
        counts = batch.lease(connection, quotas)
        queue.is_empty = len(batch.leased) < sum(quota.limit for quota in quotas)
        messages, failures, skipped = batch.render(connection, transport)
        counts += skipped
        if messages:
            messages, left_out = batch.mark_sending(
                connection, messages, transport, is_isolating=is_isolating
            )
            counts += left_out
        if takes_permits and permits > len(messages):
            flow_db.give_back(connection, transport.key, permits - len(messages))
        if failures:
            counts += batch.settle_isolating(connection, failures, is_recorded=True)
        if not messages:
            batch.log(connection, counts)
        return counts, messages

    def _batch_size(self, queue: TransportQueue) -> int:
        if queue.is_disabled:
            return min(self._limits.batch_size, SKIPPED_BATCH)
        assert queue.transport.channel is not None
        capabilities = queue.transport.channel.capabilities
        # A provider that recognizes repeated messages gets them again after a kill, so more of them
        # may be in progress.
        most = IDEMPOTENT_BATCH if capabilities.is_idempotent else self._max_batch
        return min(self._limits.batch_size, most, capabilities.max_batch)

    def _settle(
        self,
        queue: TransportQueue,
        batch: DeliveryBatch,
        results: Sequence[DeliveryResult],
        leased: DeliveryCounts,
        *,
        is_isolating: bool = False,
    ) -> DeliveryCounts:
        transport = queue.transport
        with self._database.transaction() as connection:
            settle = batch.settle_isolating if is_isolating else batch.settle
            counts = settle(connection, results, transport.policy)
            now = self._clock.now()
            is_watched = queue.is_watched or queue.is_open
            news = flow.note(connection, transport, results, now=now, is_watched=is_watched)
            batch.log(connection, leased + counts)
        if news.may_be_closed:
            # Forces a new plan, which reads the breaker's state from the database.
            queue.is_empty = True
        if news.fault is not None:
            counts += DeliveryCounts(faults={transport.key: news.fault})
        return counts
