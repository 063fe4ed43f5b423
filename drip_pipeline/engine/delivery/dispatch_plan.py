"""What is due, by way out: the plan that the workers of a channel share for a moment.

A lane is one transport with the places whose messages leave by it. The plan is looked up anew about
once a second; between that, lanes that turn out empty or closed are only marked.
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
from drip_pipeline.db.delivery.deliveries import Place, Quota
from drip_pipeline.engine.campaigns import version_cache as graphs
from drip_pipeline.engine.delivery.elapsed_clock import ElapsedClock
from drip_pipeline.engine.delivery.fair_share import fair_quotas
from drip_pipeline.engine.transports import flow_control as flow
from drip_pipeline.engine.transports.transport import Transport, TransportSource, load_rows
from drip_pipeline.errors import VersionNotFound

PLAN_SECONDS: Final = 1.0
MOMENT_SECONDS: Final = 5.0
GONE_REASON: Final = "endpoint_gone"


@dataclass
class TransportQueue:
    """One way out and what is due for it."""

    transport: Transport
    places: list[Place]
    is_disabled: bool = False
    """The endpoint is gone: what is due is held back, each with an event."""
    is_watched: bool = False
    """The breaker has something to watch: successes are told to it, too."""
    is_open: bool = False
    """The breaker is not closed: permits decide who may try."""
    closed_until: datetime | None = None
    is_short_of_permits: bool = False
    """`closed_until` is when the next permit comes; otherwise the provider asked, or the
    breaker."""
    is_empty: bool = False
    fault: str = ""

    @property
    def needs_permits(self) -> bool:
        """Whether the flow row must be asked before each group."""
        return self.transport.is_limited or self.is_open

    def can_go(self, now: datetime) -> bool:
        """Whether trying it makes sense at this moment."""
        is_closed = self.closed_until is not None and self.closed_until > now
        return not self.is_empty and not is_closed and self.transport.channel is not None

    def quotas(self, total: int, first: int) -> list[Quota]:
        """So many deliveries, shared out among the lane's places."""
        shares = fair_quotas([place.due for place in self.places], total, first=first)
        reason = GONE_REASON if self.is_disabled else None
        consent = self.transport.config.requires_consent
        return [
            Quota(place, share, reason, consent)
            for place, share in zip(self.places, shares, strict=True)
            if share
        ]


class DispatchPlanner:
    """Makes plans of one category, and hands them out to several workers."""

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
        self._lanes: list[TransportQueue] = []
        self._made_at_seconds: float | None = None
        self._turns = count()
        self._ensured: set[str] = set()

    def lanes(self, *, newer_than_seconds: float | None = None) -> list[TransportQueue]:
        """The lanes, from another one on each time. `newer_than_seconds` (of the clock) asks for a
        plan that was made after that."""
        with self._lock:
            made = self._made_at_seconds
            elapsed = self._clock.elapsed_seconds()
            is_stale = made is None or elapsed - made > PLAN_SECONDS
            if is_stale or (newer_than_seconds is not None and (made or 0) <= newer_than_seconds):
                self._lanes = self._planned()
                self._made_at_seconds = self._clock.elapsed_seconds()
            turn = next(self._turns) % max(1, len(self._lanes))
            return self._lanes[turn:] + self._lanes[:turn]

    def turn(self) -> int:
        """A number that moves on, for taking turns."""
        return next(self._turns)

    def faults(self) -> dict[str, str]:
        """What stands in the way of lanes, by transport."""
        with self._lock:
            return {lane.transport.key: lane.fault for lane in self._lanes if lane.fault}

    def wait_seconds(self, longest: float) -> float | None:
        """How long until a lane opens that is short of permits (at most `longest`), or whose
        provider asked to wait for a moment; None when none does so soon."""
        now = self._clock.now()
        with self._lock:
            times = [
                lane.closed_until
                for lane in self._lanes
                if lane.closed_until is not None
                and not lane.is_empty
                and lane.transport.channel is not None
                and (lane.closed_until - now).total_seconds()
                <= (longest if lane.is_short_of_permits else MOMENT_SECONDS)
            ]
        return max(0.0, (min(times) - now).total_seconds()) if times else None

    def _planned(self) -> list[TransportQueue]:
        now = self._clock.now()
        with self._database.transaction() as connection:
            places = deliveries_db.due_places(
                connection,
                channel=self._category,
                count_limit=self._count_limit,
                now=self._clock.start,
            )
            lanes = self._sorted_out(connection, places)
            self._ensure_rows(connection, lanes, now)
            self._mark_obstacles(connection, lanes, now)
        return lanes

    def _sorted_out(self, connection: Connection, places: Sequence[Place]) -> list[TransportQueue]:
        rows = load_rows(connection, self._category, list({p.workspace_id for p in places}))
        lanes: dict[str, TransportQueue] = {}
        for place in places:
            transport = self._transport(connection, rows.get(place.workspace_id, []), place)
            lane = lanes.setdefault(
                transport.key, TransportQueue(transport, [], fault=transport.problem)
            )
            lane.places.append(place)
        return list(lanes.values())

    def _transport(
        self, connection: Connection, rows: Sequence[ChannelRow], place: Place
    ) -> Transport:
        try:
            version = graphs.version(connection, place.campaign_id, place.campaign_version)
        except VersionNotFound:
            # Rendering will say so, by name, of each delivery.
            return self._source.transport_for(rows, None)
        return self._source.transport_for(rows, version.graph.nodes.get(place.node_id))

    def _ensure_rows(
        self, connection: Connection, lanes: Sequence[TransportQueue], now: datetime
    ) -> None:
        for lane in lanes:
            channel = lane.transport.channel
            if channel is None or channel.capabilities.is_recorder:
                continue
            state = f"{lane.transport.key} {lane.transport.channel_id} {lane.transport.on_unknown}"
            if state not in self._ensured:
                flow.ensure(connection, lane.transport, now)
                self._ensured.add(state)

    def _mark_obstacles(
        self, connection: Connection, lanes: Sequence[TransportQueue], now: datetime
    ) -> None:
        found = flow_db.obstacles(connection, [lane.transport.key for lane in lanes], now)
        for lane in lanes:
            obstacle = found.get(lane.transport.key)
            if obstacle is None:
                continue
            lane.is_disabled = obstacle["is_disabled"]
            lane.is_watched = obstacle["is_watched"]
            lane.is_open = obstacle["is_open"]
            lane.closed_until = obstacle["closed_until"]
            if lane.is_open or lane.is_disabled or lane.closed_until is not None:
                lane.fault = obstacle["last_error"] or "closed"
