"""Deliver posts shared by all recipients: each is sent once, and all states that reach it pass.

A post's id is derived from campaign, version, node and time, so all states that reach the node find
the same post. They wait while it is being sent, is retried, or is scheduled for later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from drip_pipeline.channels.protocol import Channel, DeliveryResult, Outcome, OutgoingMessage
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import broadcasts as broadcasts_db
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.db.delivery.broadcasts import Broadcast, BroadcastRow, PostOutcome
from drip_pipeline.db.delivery.deliveries import LeasedDelivery
from drip_pipeline.domain.graph.nodes import SocialAction
from drip_pipeline.domain.identity import DELIVERY_NAMESPACE
from drip_pipeline.domain.retry import retry_delay_seconds
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.delivery.delivery_batch import (
    LEASE_SECONDS,
    DeliveryBatch,
    recorded,
    retry_with_backoff,
)
from drip_pipeline.engine.delivery.dispatch_plan import DispatchPlanner, TransportQueue
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.engine.delivery.render import error_code, render_post
from drip_pipeline.engine.delivery.results import DeliveryCounts, storable
from drip_pipeline.engine.delivery.set_aside import set_aside
from drip_pipeline.engine.delivery.settle import (
    GRACE_SECONDS,
    NOT_RECORDED,
    NOT_SETTLED,
    fail_deliveries,
    settle_accepted,
)
from drip_pipeline.engine.isolation import apply_isolating, describe, is_of_the_data
from drip_pipeline.engine.transports import flow_control as flow
from drip_pipeline.engine.transports.transport import Transport
from drip_pipeline.errors import DripError, TemplateError

log = logging.getLogger(__name__)

BATCH_SIZE: Final = 5_000
LEAST_AHEAD: Final = timedelta(minutes=5)
"""Schedule times nearer than this are kept by the engine, even if the provider has a schedule."""
_NEVER_EXPIRES: Final = datetime(9999, 1, 1, tzinfo=UTC)


def deliver_broadcasts(
    batch: DeliveryBatch, planner: DispatchPlanner, channel: Channel, clock: ElapsedClock
) -> DeliveryCounts:
    """Let waiting states pass posts that were sent, and send the posts that are due.

    Raises the DripError of a failed batch after logging it.
    """
    is_recorder = channel.capabilities.is_recorder
    began = clock.elapsed_seconds()
    total = DeliveryCounts()
    try:
        for queue in planner.queues(newer_than_seconds=began):
            if not queue.is_ready(clock.now()):
                continue
            counts = _BroadcastBatch(batch, queue, is_recorder, clock).deliver()
            if counts.total() or counts.posts:
                return counts
            total += counts
    except DripError as error:
        batch.log_failure(error)
        raise
    return DeliveryCounts(faults=planner.faults()) + total


def broadcast_id(
    campaign_id: UUID, version: int, node_id: str, schedule_time: datetime | None
) -> UUID:
    """Derive a post's id (UUIDv5), always the same for the same node, version and time."""
    time = schedule_time.astimezone(UTC).isoformat() if schedule_time else ""
    return uuid5(DELIVERY_NAMESPACE, f"{campaign_id.hex}:{version}:{node_id}:{time}")


@dataclass(frozen=True, slots=True)
class _Post:
    """A post, and the leased deliveries of the states that reached it."""

    broadcast: Broadcast
    message: OutgoingMessage
    deliveries: list[LeasedDelivery]


class _BroadcastBatch:
    """The posts and waiting deliveries of one transport queue."""

    def __init__(
        self, batch: DeliveryBatch, queue: TransportQueue, is_recorder: bool, clock: ElapsedClock
    ) -> None:
        self._batch = batch
        self._queue = queue
        self._transport: Transport = queue.transport
        self._is_recorder = is_recorder
        self._clock = clock

    def deliver(self) -> DeliveryCounts:
        """Lease deliveries, let them pass posts that were sent, and send posts that are due."""
        with self._batch.database.transaction() as connection:
            counts = self._batch.lease(connection, self._queue.quotas(BATCH_SIZE, 0))
            posts, failed = self._posts(connection)
            claimed: list[OutgoingMessage] = []
            for post, row in posts:
                step, message = self._decide_isolated(connection, post, row)
                counts += step
                if message is not None:
                    claimed.append(message)
            counts += failed
            if not claimed:
                self._batch.log(connection, counts)
                return counts
        assert self._transport.channel is not None
        results = self._transport.channel.send(claimed)
        return counts + self._settled(posts, results, counts)

    def _posts(
        self, connection: Connection
    ) -> tuple[list[tuple[_Post, BroadcastRow]], DeliveryCounts]:
        posts: dict[UUID, _Post] = {}
        failed = DeliveryCounts()
        by_node: dict[tuple[UUID, int, str], list[LeasedDelivery]] = {}
        for delivery in self._batch.eligible():
            key = (delivery.campaign_id, delivery.campaign_version, delivery.node_id)
            by_node.setdefault(key, []).append(delivery)
        for deliveries in by_node.values():
            try:
                post = self._post(connection, deliveries)
            except TemplateError as error:
                failed += self._fail(connection, deliveries, error_code(error), str(error))
                continue
            posts[post.broadcast.id] = post
        rows = broadcasts_db.open_and_lock(
            connection, [post.broadcast for post in posts.values()], self._batch.now
        )
        return [(post, rows[post_id]) for post_id, post in posts.items()], failed

    def _post(self, connection: Connection, deliveries: list[LeasedDelivery]) -> _Post:
        first = deliveries[0]
        version = version_cache.version(connection, first.campaign_id, first.campaign_version)
        config = version.graph.nodes[first.node_id].config
        assert isinstance(config, SocialAction)
        time = config.schedule_time
        post_id = broadcast_id(version.campaign_id, version.version, first.node_id, time)
        broadcast = Broadcast(
            post_id,
            first.workspace_id,
            version.campaign_id,
            version.version,
            first.node_id,
            first.step_id,
            time,
            self._due_at(time),
        )
        message = render_post(config, version, post_id, self._batch.started_at)
        return _Post(broadcast, message, deliveries)

    def _due_at(self, time: datetime | None) -> datetime:
        """Return when to send a post: now, or at its schedule time if the provider cannot keep
        it."""
        now = self._batch.now
        if time is None or time <= now:
            return now
        channel = self._transport.channel
        has_schedule = channel is not None and channel.capabilities.has_schedule
        return now if has_schedule and time >= now + LEAST_AHEAD else time

    def _decide_isolated(
        self, connection: Connection, post: _Post, row: BroadcastRow
    ) -> tuple[DeliveryCounts, OutgoingMessage | None]:
        """Decide about a post as `_decide`; one that the database refuses to store fails alone."""
        done: list[tuple[DeliveryCounts, OutgoingMessage | None]] = []

        def decide(part: Sequence[_Post]) -> tuple[DeliveryCounts, OutgoingMessage | None]:
            return self._decide(connection, part[0], row)

        def refuse(refused: _Post, error: Exception) -> None:
            reason = describe(error)

            def fail(_part: Sequence[_Post]) -> tuple[DeliveryCounts, OutgoingMessage | None]:
                failed = PostOutcome("failed", error_code=NOT_RECORDED, error=reason)
                broadcasts_db.settle(connection, refused.broadcast.id, failed, self._batch.now)
                return self._fail(connection, refused.deliveries, NOT_RECORDED, reason), None

            apply_isolating(connection, [refused], fail, leave, done=done)

        def leave(refused: _Post, error: Exception) -> None:
            for delivery in refused.deliveries:
                set_aside(connection, delivery, error, self._batch.now)

        apply_isolating(connection, [post], decide, refuse, done=done)
        return done[0] if done else (DeliveryCounts(), None)

    def _decide(
        self, connection: Connection, post: _Post, row: BroadcastRow
    ) -> tuple[DeliveryCounts, OutgoingMessage | None]:
        now = self._batch.now
        match row.status:
            case "sent":
                return self._pass(connection, post.deliveries, row), None
            case "failed":
                return self._after_failure(connection, post, row), None
            case "pending" if row.due_at is not None and row.due_at > now:
                return self._postpone(connection, post.deliveries, row.due_at), None
            case "pending":
                return self._claim(connection, post, row)
            case "unknown" if row.leased_until is not None and row.leased_until > now:
                return self._postpone(connection, post.deliveries, row.leased_until), None
            case _:
                # Another worker is sending it now, or an operator has to decide.
                return DeliveryCounts(), None

    def _claim(
        self, connection: Connection, post: _Post, row: BroadcastRow
    ) -> tuple[DeliveryCounts, OutgoingMessage | None]:
        """Record a due post, or mark it as being sent and return its message."""
        now = self._batch.now
        if self._is_recorder:
            rows = [recorded(post.deliveries[0], post.message)]
            deliveries_db.record(connection, rows, channel=post.message.channel, now=now)
            broadcasts_db.settle(connection, post.broadcast.id, PostOutcome("sent"), now)
            sent = row._replace(certainty="known", details=None, provider_message_id=None)
            return self._pass(connection, post.deliveries, sent) + DeliveryCounts(posts=1), None
        takes_permit = self._queue.needs_permits
        if takes_permit and not self._queue.take_permits(connection, 1, self._batch.started_at):
            return DeliveryCounts(), None
        claimed = broadcasts_db.claim(
            connection,
            post.broadcast.id,
            transport=self._transport.key,
            leased_until=self._batch.started_at + timedelta(seconds=LEASE_SECONDS),
            retry_until=self._retry_until(now),
        )
        if not claimed and takes_permit:
            flow_db.give_back(connection, self._transport.key, 1)
        return DeliveryCounts(), post.message if claimed else None

    def _retry_until(self, now: datetime) -> datetime | None:
        if self._transport.on_unknown != "retry" or self._transport.channel is None:
            return None
        seconds = self._transport.channel.capabilities.idempotency_seconds
        return _NEVER_EXPIRES if seconds is None else now + timedelta(seconds=seconds)

    def _pass(
        self, connection: Connection, deliveries: list[LeasedDelivery], row: BroadcastRow
    ) -> DeliveryCounts:
        details: Mapping[str, object] = {"post_id": str(row.id), **(row.details or {})}

        def settle(part: Sequence[LeasedDelivery]) -> DeliveryCounts:
            settle_accepted(
                connection,
                part,
                self._batch.context,
                provider_ids=[row.provider_message_id] * len(part),
                certainty=row.certainty,
                details=[details] * len(part),
            )
            return DeliveryCounts(sent=len(part))

        return self._isolated(connection, deliveries, settle)

    def _isolated(
        self,
        connection: Connection,
        deliveries: Sequence[LeasedDelivery],
        settle: Callable[[Sequence[LeasedDelivery]], DeliveryCounts],
    ) -> DeliveryCounts:
        """Settle deliveries of a post; those that the database refuses are set aside."""

        def refuse(delivery: LeasedDelivery, error: Exception) -> None:
            set_aside(connection, delivery, error, self._batch.now)

        settled = apply_isolating(connection, deliveries, settle, refuse) if deliveries else []
        return sum(settled, DeliveryCounts())

    def _after_failure(
        self, connection: Connection, post: _Post, row: BroadcastRow
    ) -> DeliveryCounts:
        """Fail the deliveries that waited for a failed post; later ones make it due again."""
        assert row.settled_at is not None
        waited = [each for each in post.deliveries if each.due_at <= row.settled_at]
        if len(waited) < len(post.deliveries):
            broadcasts_db.reopen(connection, post.broadcast.id, self._batch.now)
            return self._postpone(connection, post.deliveries, self._batch.now)
        return self._fail(connection, waited, row.error_code, row.last_error or "refused")

    def _fail(
        self,
        connection: Connection,
        deliveries: list[LeasedDelivery],
        code: str | None,
        error: str,
    ) -> DeliveryCounts:
        def settle(part: Sequence[LeasedDelivery]) -> DeliveryCounts:
            fail_deliveries(connection, part, code, error, self._batch.context)
            return DeliveryCounts(failed=len(part))

        return self._isolated(connection, deliveries, settle)

    def _postpone(
        self, connection: Connection, deliveries: list[LeasedDelivery], until: datetime
    ) -> DeliveryCounts:
        deliveries_db.postpone(connection, [each.id for each in deliveries], until)
        return DeliveryCounts(held=len(deliveries))

    def _settled(
        self,
        posts: Sequence[tuple[_Post, BroadcastRow]],
        results: Sequence[DeliveryResult],
        leased: DeliveryCounts,
    ) -> DeliveryCounts:
        """Store the results of posts that were sent; one that cannot be stored has an unknown
        outcome, until an operator decides."""
        try:
            return retry_with_backoff(lambda: self._settle(posts, results, leased))
        except Exception as error:
            if not is_of_the_data(error):
                raise
            return retry_with_backoff(
                lambda: self._settle(posts, results, leased, is_isolating=True)
            )

    def _settle(
        self,
        posts: Sequence[tuple[_Post, BroadcastRow]],
        results: Sequence[DeliveryResult],
        leased: DeliveryCounts,
        *,
        is_isolating: bool = False,
    ) -> DeliveryCounts:
        attempt_of = {post.broadcast.id: row.attempts + 1 for post, row in posts}
        now = self._clock.now()
        with self._batch.database.transaction() as connection:

            def settle(part: Sequence[DeliveryResult]) -> int:
                sent = 0
                for result in part:
                    attempt = attempt_of[result.delivery_id]
                    outcome = _post_outcome(self._transport, result, attempt, now)
                    broadcasts_db.settle(connection, result.delivery_id, outcome, now)
                    sent += outcome.status == "sent"
                return sent

            def hold(result: DeliveryResult, error: Exception) -> None:
                held = PostOutcome("unknown", error_code=NOT_SETTLED, error=describe(error))

                def mark(part: Sequence[DeliveryResult]) -> None:
                    broadcasts_db.settle(connection, part[0].delivery_id, held, now)

                apply_isolating(connection, [result], mark, leave)

            def leave(result: DeliveryResult, error: Exception) -> None:
                # Refused, too: the lease ends.
                post_id = result.delivery_id
                log.error("the post %s could not be settled: %s", post_id, describe(error))

            if is_isolating:
                cleaned = [storable(result) for result in results]
                sent = sum(apply_isolating(connection, cleaned, settle, hold))
            else:
                sent = settle(results)
            news = flow.note(
                connection, self._transport, results, now=now, is_watched=self._queue.is_watched
            )
            self._batch.log(connection, leased)
        faults = {self._transport.key: news.fault} if news.fault else {}
        return DeliveryCounts(posts=sent, faults=faults)


def _post_outcome(
    transport: Transport, result: DeliveryResult, attempt: int, now: datetime
) -> PostOutcome:
    """Classify the provider's result for a post after this many attempts."""
    failed = PostOutcome("failed", error_code=result.error_code, error=result.error)
    is_last = attempt >= transport.policy.max_attempts
    if result.outcome is Outcome.ACCEPTED:
        return PostOutcome(
            "sent", provider_message_id=result.provider_message_id, details=result.details
        )
    if result.outcome is Outcome.UNKNOWN and (is_last or transport.on_unknown != "retry"):
        is_held = transport.on_unknown == "hold"
        until = None if is_held else now + timedelta(seconds=GRACE_SECONDS)
        return failed._replace(status="unknown", grace_until=until)
    if result.outcome is Outcome.REJECTED or (is_last and result.outcome is Outcome.NOT_SENT):
        return failed
    wait = retry_delay_seconds(attempt, result.delivery_id, result.retry_after_seconds)
    return failed._replace(status="pending", due_at=now + timedelta(seconds=wait))
