"""Delivering what is due of a channel, by as many workers as a provider is talked to at once.

A recording channel is settled in the transaction that leases: nothing leaves, so nothing can be in
doubt. A sending one gets small groups, marked `sending` and committed before they go out, and is
settled afterwards in a second transaction; no transaction is open while a provider is talked to.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import sleep
from typing import Final
from uuid import uuid4

from drip_pipeline.channels.protocol import Channel, DeliveryResult, OutgoingMessage
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.engine.deadline import NO_DEADLINE, Deadline
from drip_pipeline.engine.delivery.broadcast import pass_broadcasts
from drip_pipeline.engine.delivery.delivery_batch import (
    LEASE_SECONDS,
    DeliveryBatch,
    keep_recorded,
    surely,
)
from drip_pipeline.engine.delivery.dispatch_plan import DispatchPlanner, TransportQueue
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.engine.delivery.fair_share import fair_quotas
from drip_pipeline.engine.delivery.render import MessageSettings
from drip_pipeline.engine.delivery.settle import DeliveryCounts
from drip_pipeline.engine.execution.batch_log import NO_RUN, RunContext
from drip_pipeline.engine.gc_pause import no_collection
from drip_pipeline.engine.transports import flow_control as flow
from drip_pipeline.engine.transports.transport import source_of

SENDING_WORKERS: Final = 4
"""Threads of a process that hand messages of one channel to its providers."""
MAX_IN_DOUBT: Final = 50
"""Messages marked `sending` at a time in a process, over all its workers: what a kill can leave in
doubt where the provider does not recognize repeated messages."""
IDEMPOTENT_GROUP: Final = 50
HELD_BACK_AT_ONCE: Final = 500
LONGEST_WAIT_SECONDS: Final = 30.0
PATIENCE_SECONDS: Final = 50.0
"""How long the workers of a call keep waiting for permits: a minute's tick must end, and other
channels of the process want their turn."""


def deliver_due(
    database: Database,
    channel: Channel,
    *,
    settings: MessageSettings,
    now: datetime,
    batch_size: int,
    deadline: Deadline = NO_DEADLINE,
    context: RunContext = NO_RUN,
    workers: int = SENDING_WORKERS,
) -> DeliveryCounts:
    """Deliver everything of a channel that is due, until nothing is left that may go out now or
    the deadline has passed.

    Providers that fail are named in `faults` of what comes back, and their deliveries stay due.
    Raises what made a round fail, after entering it in the ledger.
    """
    dispatch = _Dispatch(database, channel, settings, now, batch_size, context, workers)
    if channel.capabilities.is_recorder or channel.name == "social":
        return dispatch.work(deadline)
    total = DeliveryCounts()
    with ThreadPoolExecutor(workers, thread_name_prefix=f"deliver-{channel.name}") as pool:
        for done in pool.map(lambda _: dispatch.work(deadline), range(workers)):
            total += done
    return total


class _Dispatch:
    """One call's work, shared by its workers."""

    def __init__(
        self,
        database: Database,
        channel: Channel,
        settings: MessageSettings,
        now: datetime,
        batch_size: int,
        context: RunContext,
        workers: int,
    ) -> None:
        self._database = database
        self._channel = channel
        self._settings = settings
        self._batch_size = batch_size
        self._context = context
        self._group = max(1, min(batch_size, MAX_IN_DOUBT // workers))
        self._clock = ElapsedClock(now, is_stopped=channel.capabilities.is_recorder)
        self._planner = DispatchPlanner(
            database,
            channel.name,
            source_of(channel),
            self._clock,
            count_limit=max(HELD_BACK_AT_ONCE, IDEMPOTENT_GROUP),
        )

    def work(self, deadline: Deadline) -> DeliveryCounts:
        """Round after round, until nothing can go out now or the time is over."""
        done = DeliveryCounts()
        has_waited = False
        while not deadline.is_over():
            if has_waited and self._clock.elapsed_seconds() > PATIENCE_SECONDS:
                break
            latest = self.round()
            done += latest
            if latest.total() or latest.posts:
                continue
            seconds = self._planner.wait_seconds(LONGEST_WAIT_SECONDS)
            if seconds is None or self._clock.elapsed_seconds() + seconds > PATIENCE_SECONDS:
                break
            if deadline.is_over(in_seconds=seconds):
                break
            sleep(min(seconds, 1.0))
            has_waited = True
        return done

    def round(self) -> DeliveryCounts:
        """One group of one way out, or nothing."""
        if self._channel.name == "social":
            return pass_broadcasts(self._new_round(), self._planner, self._channel, self._clock)
        if self._channel.capabilities.is_recorder:
            # Around the call: whatever it made is gone before the collector looks again.
            with no_collection():
                return self._record()
        began = self._clock.elapsed_seconds()
        for lanes in (self._planner.lanes(), None):
            if lanes is None:
                # What the plan of a moment ago knew is used up: look again before giving up.
                lanes = self._planner.lanes(newer_than_seconds=began)
            for lane in lanes:
                if lane.can_go(self._clock.now()):
                    done = self._send(lane)
                    if done.total():
                        return done
        return DeliveryCounts(faults=self._planner.faults())

    def _new_round(self) -> DeliveryBatch:
        return DeliveryBatch(
            self._database, self._channel.name, self._settings, self._clock, self._context
        )

    def _record(self) -> DeliveryCounts:
        """Lease, record and settle in one transaction."""
        work = self._new_round()
        try:
            with self._database.transaction() as connection:
                found = deliveries_db.due_places(
                    connection,
                    channel=self._channel.name,
                    count_limit=self._batch_size,
                    now=work.now,
                )
                shares = fair_quotas([place.due for place in found], self._batch_size)
                quotas = [
                    deliveries_db.Quota(place, share)
                    for place, share in zip(found, shares, strict=True)
                    if share
                ]
                done = work.lease(connection, quotas) if quotas else DeliveryCounts()
                messages, failures = work.render(connection)
                keep_recorded(
                    connection, work.rendered, messages, channel=work.channel, now=work.now
                )
                results = self._channel.send(messages)
                done += work.settle(connection, [*results, *failures])
                work.enter(connection, done)
            return done
        except Exception as error:
            work.failed(error)
            raise

    def _send(self, lane: TransportQueue) -> DeliveryCounts:
        """Lease and mark a group, hand it over, settle it."""
        work = self._new_round()
        try:
            done, messages = surely(lambda: self._leased(lane, work))
            if not messages:
                return done
            assert lane.transport.channel is not None
            results = lane.transport.channel.send(messages)
            return done + surely(lambda: self._settle(lane, work, results, done))
        except Exception as error:
            work.failed(error)
            raise

    def _leased(
        self, lane: TransportQueue, work: DeliveryBatch
    ) -> tuple[DeliveryCounts, list[OutgoingMessage]]:
        with self._database.transaction() as connection:
            return self._lease(connection, lane, work)

    def _lease(
        self, connection: Connection, lane: TransportQueue, work: DeliveryBatch
    ) -> tuple[DeliveryCounts, list[OutgoingMessage]]:
        wanted = self._group_of(lane)
        permits = wanted
        if lane.needs_permits and not lane.is_disabled:
            granted = flow.take(connection, lane.transport, wanted, work.moment)
            permits = granted.granted
            if not permits:
                lane.closed_until = granted.retry_at
                lane.is_short_of_permits = granted.state == "closed"
                lane.is_empty = granted.retry_at is None
                return DeliveryCounts(), []
        quotas = lane.quotas(permits, self._planner.turn())
        done = work.lease(connection, quotas)
        lane.is_empty = len(work.leased) < sum(quota.most for quota in quotas)
        messages, failures = work.render(connection, lane.transport)
        if lane.needs_permits and not lane.is_disabled and permits > len(messages):
            flow_db.give_back(connection, lane.transport.key, permits - len(messages))
        if messages:
            deliveries_db.mark_sending(
                connection,
                [message.delivery_id for message in messages],
                transport=lane.transport.key,
                channel_id=lane.transport.channel_id,
                lease_token=uuid4(),
                leased_until=work.moment + timedelta(seconds=LEASE_SECONDS),
                now=work.now,
            )
        if failures:
            done += work.settle(connection, failures)
        if not messages:
            work.enter(connection, done)
        return done, messages

    def _group_of(self, lane: TransportQueue) -> int:
        if lane.is_disabled:
            return min(self._batch_size, HELD_BACK_AT_ONCE)
        assert lane.transport.channel is not None
        capabilities = lane.transport.channel.capabilities
        # What the provider recognizes is not in doubt after a kill: it is sent again.
        most = IDEMPOTENT_GROUP if capabilities.is_idempotent else self._group
        return min(self._batch_size, most, capabilities.max_batch)

    def _settle(
        self,
        lane: TransportQueue,
        work: DeliveryBatch,
        results: Sequence[DeliveryResult],
        held_back: DeliveryCounts,
    ) -> DeliveryCounts:
        with self._database.transaction() as connection:
            done = work.settle(connection, results, lane.transport.policy)
            now = self._clock.now()
            is_watched = lane.is_watched or lane.is_open
            news = flow.note(connection, lane.transport, results, now=now, is_watched=is_watched)
            work.enter(connection, held_back + done)
        if news.may_be_closed:
            # The plan is made anew: what the breaker decided is in the database.
            lane.is_empty = True
        if news.fault is not None:
            done += DeliveryCounts(faults={lane.transport.key: news.fault})
        return done
