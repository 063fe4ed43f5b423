"""The dispatch plan of a channel category: due deliveries grouped by transport.

All workers of a process share one plan, which is read again about once a second. In between,
queues that turn out to be empty or closed are only marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from threading import Lock
from typing import Final

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import flow_control as flow_db
from drip_pipeline.db.delivery.channel_accounts import ChannelRow
from drip_pipeline.db.delivery.deliveries import DueGroup, Quota
from drip_pipeline.engine.campaigns import version_cache
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.engine.delivery.fair_share import by_priority, fair_quotas
from drip_pipeline.engine.delivery.group_priorities import GroupRank, ranks_of
from drip_pipeline.engine.transports import flow_control as flow
from drip_pipeline.engine.transports.transport import Transport, TransportSource, load_rows
from drip_pipeline.errors import VersionNotFound

PLAN_SECONDS: Final = 1.0
SHORT_PAUSE_SECONDS: Final = 5.0
"""Pauses up to this length, asked for by a provider, are waited for."""
GONE_REASON: Final = "endpoint_gone"


@dataclass
class TransportQueue:
    """The groups of due deliveries that one transport sends."""

    transport: Transport
    groups: list[DueGroup]
    is_disabled: bool = False
    """The endpoint is gone: due deliveries are skipped, each with an event."""
    is_watched: bool = False
    """The breaker has recent failures: successes are reported to it, too."""
    is_open: bool = False
    """The breaker is not closed: permits decide which worker may try."""
    closed_until: datetime | None = None
    is_short_of_permits: bool = False
    """`closed_until` is when the next permit is available; otherwise a pause or an open breaker."""
    is_empty: bool = False
    fault: str = ""
    ranks: list[GroupRank] | None = None
    """The priorities of the groups, where a workspace has frequency caps."""

    @property
    def needs_permits(self) -> bool:
        """Whether permits must be taken before each batch."""
        return self.transport.is_limited or self.is_open

    def is_ready(self, now: datetime) -> bool:
        """Whether the queue may have deliveries that can be sent now."""
        is_closed = self.closed_until is not None and self.closed_until > now
        return not self.is_empty and not is_closed and self.transport.channel is not None

    def quotas(self, total: int, first: int) -> list[Quota]:
        """Allocate up to `total` deliveries among the groups; the remainder from `first` on."""
        requested = [group.due for group in self.groups]
        shares = fair_quotas(requested, total, first=first)
        if self.ranks is not None:
            shares = by_priority(requested, shares, self.ranks, first=first)
        reason = GONE_REASON if self.is_disabled else None
        consent = self.transport.config.requires_consent
        return [
            Quota(group, share, reason, consent)
            for group, share in zip(self.groups, shares, strict=True)
            if share
        ]

    def take_permits(self, connection: Connection, requested: int, now: datetime) -> int:
        """Take permits for up to `requested` messages, and return how many were granted; with none,
        the queue is closed until more are available."""
        permits = flow.take(connection, self.transport, requested, now)
        if not permits.granted:
            self.closed_until = permits.retry_at
            self.is_short_of_permits = permits.state == "closed"
            self.is_empty = permits.retry_at is None
        return permits.granted


class DispatchPlanner:
    """Builds the plans of one category for several workers."""

    def __init__(
        self,
        database: Database,
        category: str,
        source: TransportSource,
        clock: ElapsedClock,
        *,
        count_limit: int,
    ) -> None:
        self._database = database
        self._category = category
        self._source = source
        self._clock = clock
        self._count_limit = count_limit
        self._lock = Lock()
        self._queues: list[TransportQueue] = []
        self._planned_at_seconds: float | None = None
        self._turns = count()
        self._ensured: set[str] = set()

    def queues(self, *, newer_than_seconds: float | None = None) -> list[TransportQueue]:
        """Return the queues, starting with another one each time. `newer_than_seconds` (of the
        clock) requires a plan that was built after that."""
        with self._lock:
            planned_at = self._planned_at_seconds
            elapsed = self._clock.elapsed_seconds()
            is_stale = planned_at is None or elapsed - planned_at > PLAN_SECONDS
            is_older = newer_than_seconds is not None and (planned_at or 0) <= newer_than_seconds
            if is_stale or is_older:
                self._queues = self._plan()
                self._planned_at_seconds = self._clock.elapsed_seconds()
            turn = next(self._turns) % max(1, len(self._queues))
            return self._queues[turn:] + self._queues[:turn]

    def turn(self) -> int:
        """Return an advancing number, for taking turns."""
        return next(self._turns)

    def faults(self) -> dict[str, str]:
        """Return the errors of failing transports, by transport."""
        with self._lock:
            return {queue.transport.key: queue.fault for queue in self._queues if queue.fault}

    def wait_seconds(self, longest: float) -> float | None:
        """Return the seconds until the next queue opens that is short of permits (at most
        `longest`) or has a short pause; None when there is no such queue."""
        now = self._clock.now()
        with self._lock:
            times = [
                queue.closed_until
                for queue in self._queues
                if queue.closed_until is not None
                and not queue.is_empty
                and queue.transport.channel is not None
                and (queue.closed_until - now).total_seconds()
                <= (longest if queue.is_short_of_permits else SHORT_PAUSE_SECONDS)
            ]
        return max(0.0, (min(times) - now).total_seconds()) if times else None

    def _plan(self) -> list[TransportQueue]:
        now = self._clock.now()
        with self._database.transaction() as connection:
            groups = deliveries_db.due_groups(
                connection,
                channel=self._category,
                count_limit=self._count_limit,
                now=self._clock.start,
            )
            queues = self._by_transport(connection, groups)
            for queue in queues:
                queue.ranks = ranks_of(connection, queue.groups, self._clock.start)
            self._ensure_rows(connection, queues, now)
            self._mark_obstacles(connection, queues, now)
        return queues

    def _by_transport(
        self, connection: Connection, groups: Sequence[DueGroup]
    ) -> list[TransportQueue]:
        rows = load_rows(connection, self._category, list({g.workspace_id for g in groups}))
        queues: dict[str, TransportQueue] = {}
        for group in groups:
            transport = self._transport(connection, rows.get(group.workspace_id, []), group)
            queue = queues.setdefault(
                transport.key, TransportQueue(transport, [], fault=transport.problem)
            )
            queue.groups.append(group)
        return list(queues.values())

    def _transport(
        self, connection: Connection, rows: Sequence[ChannelRow], group: DueGroup
    ) -> Transport:
        try:
            version = version_cache.version(connection, group.campaign_id, group.campaign_version)
        except VersionNotFound:
            # Rendering reports it for each delivery.
            return self._source.transport_for(rows, None)
        return self._source.transport_for(rows, version.graph.nodes.get(group.node_id))

    def _ensure_rows(
        self, connection: Connection, queues: Sequence[TransportQueue], now: datetime
    ) -> None:
        for transport in [queue.transport for queue in queues]:
            channel = transport.channel
            if channel is None or channel.capabilities.is_recorder:
                continue
            state = f"{transport.key} {transport.channel_id} {transport.on_unknown}"
            if state not in self._ensured:
                flow.ensure(connection, transport, now)
                self._ensured.add(state)

    def _mark_obstacles(
        self, connection: Connection, queues: Sequence[TransportQueue], now: datetime
    ) -> None:
        obstacles = flow_db.obstacles(connection, [queue.transport.key for queue in queues], now)
        for queue in queues:
            obstacle = obstacles.get(queue.transport.key)
            if obstacle is None:
                continue
            queue.is_disabled = obstacle.is_disabled
            queue.is_watched = obstacle.is_watched
            queue.is_open = obstacle.is_open
            queue.closed_until = obstacle.closed_until
            if queue.is_open or queue.is_disabled or queue.closed_until is not None:
                queue.fault = obstacle.last_error or "closed"
