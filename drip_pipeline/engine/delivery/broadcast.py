"""Posts for everybody: the first who reach one make it go out, once; all pass and point at it.

A post's id is made of campaign, version, node and time, so whoever comes finds the same one. People
wait for it while it is on its way, is tried again, or has a time of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

from drip_pipeline.channels.protocol import Channel, DeliveryResult, Outcome, OutgoingMessage
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.delivery import broadcasts as broadcasts_db
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.db.delivery.broadcasts import Broadcast, PostOutcome
from drip_pipeline.domain.graph.nodes import SocialAction
from drip_pipeline.domain.identity import DELIVERY_NAMESPACE
from drip_pipeline.domain.retry import retry_delay_seconds
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.engine.delivery.delivery_batch import (
    LEASE_SECONDS,
    DeliveryBatch,
    recorded,
    surely,
)
from drip_pipeline.engine.delivery.dispatch_plan import DispatchPlanner, TransportQueue
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.engine.delivery.render import render_post
from drip_pipeline.engine.delivery.settle import (
    GRACE_SECONDS,
    DeliveryCounts,
    fail_deliveries,
    settle_accepted,
)
from drip_pipeline.engine.transports import flow_control as flow
from drip_pipeline.engine.transports.transport import Transport
from drip_pipeline.errors import DripError, TemplateError

PEOPLE_AT_ONCE: Final = 5_000
LEAST_AHEAD: Final = timedelta(minutes=5)
"""Nearer times the engine keeps itself, whatever the provider can."""
_FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


def pass_broadcasts(
    work: DeliveryBatch, planner: DispatchPlanner, channel: Channel, clock: ElapsedClock
) -> DeliveryCounts:
    """One round: let people pass who have a post to pass, and hand over the posts that are due.

    Raises the DripError that made it fail, after entering it in the ledger.
    """
    is_recorder = channel.capabilities.is_recorder
    began = clock.elapsed_seconds()
    nothing = DeliveryCounts()
    try:
        for lane in planner.lanes(newer_than_seconds=began):
            if not lane.can_go(clock.now()):
                continue
            done = _Passage(work, lane, is_recorder, clock).go()
            if done.total() or done.posts:
                return done
            nothing += done
    except DripError as error:
        work.failed(error)
        raise
    return DeliveryCounts(faults=planner.faults()) + nothing


def broadcast_id(
    campaign_id: UUID, version: int, node_id: str, schedule_time: datetime | None
) -> UUID:
    """The same for the same node of the same version and time, for ever."""
    time = schedule_time.astimezone(UTC).isoformat() if schedule_time else ""
    return uuid5(DELIVERY_NAMESPACE, f"{campaign_id.hex}:{version}:{node_id}:{time}")


@dataclass(frozen=True, slots=True)
class _Post:
    """A post, and the people who have come to it."""

    broadcast: Broadcast
    message: OutgoingMessage
    people: list[dict[str, Any]]


class _Passage:
    """One lane's people and posts."""

    def __init__(
        self, work: DeliveryBatch, lane: TransportQueue, is_recorder: bool, clock: ElapsedClock
    ) -> None:
        self._work = work
        self._lane = lane
        self._transport: Transport = lane.transport
        self._is_recorder = is_recorder
        self._clock = clock

    def go(self) -> DeliveryCounts:
        """Look at the people; hand over what is due; let them pass."""
        with self._work.database.transaction() as connection:
            quotas = self._lane.quotas(PEOPLE_AT_ONCE, 0)
            done = self._work.lease(connection, quotas)
            posts, failed = self._posts(connection)
            claimed: list[OutgoingMessage] = []
            for post, row in posts:
                step, message = self._decide(connection, post, row)
                done += step
                if message is not None:
                    claimed.append(message)
            done += failed
            if not claimed:
                self._work.enter(connection, done)
                return done
        assert self._transport.channel is not None
        results = self._transport.channel.send(claimed)
        return done + surely(lambda: self._settle(posts, results, done))

    def _posts(
        self, connection: Connection
    ) -> tuple[list[tuple[_Post, dict[str, Any]]], DeliveryCounts]:
        posts: dict[UUID, _Post] = {}
        failed = DeliveryCounts()
        by_place: dict[tuple[UUID, int, str], list[dict[str, Any]]] = {}
        for row in self._work.free():
            key = (row["campaign_id"], row["campaign_version"], row["node_id"])
            by_place.setdefault(key, []).append(row)
        for people in by_place.values():
            try:
                post = self._post(connection, people)
            except TemplateError as error:
                failed += self._fail(connection, people, "render_failed", str(error))
                continue
            posts[post.broadcast.id] = post
        rows = broadcasts_db.open_and_lock(
            connection, [post.broadcast for post in posts.values()], self._work.now
        )
        return [(post, rows[post_id]) for post_id, post in posts.items()], failed

    def _post(self, connection: Connection, people: list[dict[str, Any]]) -> _Post:
        first = people[0]
        version = graphs.version(connection, first["campaign_id"], first["campaign_version"])
        config = version.graph.nodes[first["node_id"]].config
        assert isinstance(config, SocialAction)
        time = config.schedule_time
        post_id = broadcast_id(version.campaign_id, version.version, first["node_id"], time)
        broadcast = Broadcast(
            post_id,
            first["workspace_id"],
            version.campaign_id,
            version.version,
            first["node_id"],
            first["step_id"],
            time,
            self._due_at(time),
        )
        message = render_post(config, version, post_id, self._work.moment)
        return _Post(broadcast, message, people)

    def _due_at(self, time: datetime | None) -> datetime:
        """Now; or at its time, if it has one that the provider does not keep."""
        now = self._work.now
        if time is None or time <= now:
            return now
        capabilities = self._transport.channel.capabilities if self._transport.channel else None
        keeps_times = capabilities is not None and capabilities.has_schedule
        return now if keeps_times and time >= now + LEAST_AHEAD else time

    def _decide(
        self, connection: Connection, post: _Post, row: dict[str, Any]
    ) -> tuple[DeliveryCounts, OutgoingMessage | None]:
        now = self._work.now
        match row["status"]:
            case "sent":
                return self._let_pass(connection, post.people, row), None
            case "failed":
                return self._after_failure(connection, post, row), None
            case "pending" if row["due_at"] > now:
                return self._hold(connection, post.people, row["due_at"]), None
            case "pending":
                return self._hand_over(connection, post)
            case "unknown" if row["leased_until"] is not None and row["leased_until"] > now:
                return self._hold(connection, post.people, row["leased_until"]), None
            case _:
                # Somebody is handing it over at this moment, or has to say what became of it.
                return DeliveryCounts(), None

    def _hand_over(
        self, connection: Connection, post: _Post
    ) -> tuple[DeliveryCounts, OutgoingMessage | None]:
        now = self._work.now
        if self._is_recorder:
            kept = [recorded(post.people[0], post.message)]
            deliveries_db.record(connection, kept, channel=post.message.channel, now=now)
            broadcasts_db.settle(connection, post.broadcast.id, PostOutcome("sent"), now)
            told = {"id": post.broadcast.id, "details": {}, "certainty": "known"}
            return self._let_pass(connection, post.people, told) + DeliveryCounts(posts=1), None
        if self._lane.needs_permits:
            permits = flow.take(connection, self._transport, 1, self._work.moment)
            if not permits.granted:
                self._lane.closed_until = permits.retry_at
                self._lane.is_short_of_permits = permits.state == "closed"
                return DeliveryCounts(), None
        claimed = broadcasts_db.claim(
            connection,
            post.broadcast.id,
            transport=self._transport.key,
            leased_until=self._work.moment + timedelta(seconds=LEASE_SECONDS),
            retry_until=self._retry_until(now),
        )
        if not claimed and self._lane.needs_permits:
            flow_db.give_back(connection, self._transport.key, 1)
        return DeliveryCounts(), post.message if claimed else None

    def _retry_until(self, now: datetime) -> datetime | None:
        if self._transport.on_unknown != "retry" or self._transport.channel is None:
            return None
        seconds = self._transport.channel.capabilities.idempotency_seconds
        return _FOREVER if seconds is None else now + timedelta(seconds=seconds)

    def _let_pass(
        self, connection: Connection, people: list[dict[str, Any]], row: dict[str, Any]
    ) -> DeliveryCounts:
        details = {"post_id": str(row["id"]), **(row["details"] or {})}
        settle_accepted(
            connection,
            people,
            [row.get("provider_message_id")] * len(people),
            channel=self._work.channel,
            batch_id=self._work.batch_id,
            now=self._work.now,
            certainty=row["certainty"],
            details=[details] * len(people),
        )
        return DeliveryCounts(sent=len(people))

    def _after_failure(
        self, connection: Connection, post: _Post, row: dict[str, Any]
    ) -> DeliveryCounts:
        """People who waited for it fail with it; who comes or is brought back later tries anew."""
        waited = [person for person in post.people if person["due_at"] <= row["settled_at"]]
        if len(waited) < len(post.people):
            broadcasts_db.reopen(connection, post.broadcast.id, self._work.now)
            return self._hold(connection, post.people, self._work.now)
        return self._fail(connection, waited, row["error_code"], row["last_error"] or "refused")

    def _fail(
        self, connection: Connection, people: list[dict[str, Any]], code: str | None, error: str
    ) -> DeliveryCounts:
        fail_deliveries(
            connection,
            people,
            code,
            error,
            channel=self._work.channel,
            batch_id=self._work.batch_id,
            now=self._work.now,
        )
        return DeliveryCounts(failed=len(people))

    def _hold(
        self, connection: Connection, people: list[dict[str, Any]], until: datetime
    ) -> DeliveryCounts:
        deliveries_db.hold(connection, [person["id"] for person in people], until)
        return DeliveryCounts(held=len(people))

    def _settle(
        self,
        posts: Sequence[tuple[_Post, dict[str, Any]]],
        results: Sequence[DeliveryResult],
        before: DeliveryCounts,
    ) -> DeliveryCounts:
        row_of = {post.broadcast.id: row for post, row in posts}
        now = self._clock.now()
        out = 0
        with self._work.database.transaction() as connection:
            for result in results:
                attempt = row_of[result.delivery_id]["attempts"] + 1
                outcome = _post_outcome(self._transport, result, attempt, now)
                broadcasts_db.settle(connection, result.delivery_id, outcome, now)
                out += outcome.status == "sent"
            news = flow.note(
                connection, self._transport, results, now=now, is_watched=self._lane.is_watched
            )
            self._work.enter(connection, before)
        faults = {self._transport.key: news.fault} if news.fault else {}
        return DeliveryCounts(posts=out, faults=faults)


def _post_outcome(
    transport: Transport, result: DeliveryResult, attempt: int, now: datetime
) -> PostOutcome:
    """What the provider's answer means for a post after so many attempts."""
    told = PostOutcome("failed", error_code=result.error_code, error=result.error)
    is_last = attempt >= transport.policy.max_attempts
    if result.outcome is Outcome.ACCEPTED:
        return PostOutcome(
            "sent", provider_message_id=result.provider_message_id, details=result.details
        )
    if result.outcome is Outcome.UNKNOWN and (is_last or transport.on_unknown != "retry"):
        is_held = transport.on_unknown == "hold"
        until = None if is_held else now + timedelta(seconds=GRACE_SECONDS)
        return told._replace(status="unknown", grace_until=until)
    if result.outcome is Outcome.REJECTED or (is_last and result.outcome is Outcome.NOT_SENT):
        return told
    wait = retry_delay_seconds(attempt, result.delivery_id, result.retry_after_seconds)
    return told._replace(status="pending", due_at=now + timedelta(seconds=wait))
