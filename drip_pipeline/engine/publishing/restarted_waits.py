"""Compute when restarted waits end that depend on a time zone: calendar months, times of day.

The statement that moves states adds durations by itself. These ends are computed in Python, because
the database has other rules of time zones; once per time zone and time of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing import in_flight as in_flight_db
from drip_pipeline.db.publishing.in_flight import NO_ENDS, WaitEnds
from drip_pipeline.domain.conditions.time_zones import zone_name, zone_of
from drip_pipeline.domain.graph.local_times import CONTACT_ZONE, WORKSPACE_ZONE_NAME
from drip_pipeline.domain.graph.migration_rules import Move, MoveAction


def ends_of_waits(
    connection: Connection, campaign_id: UUID, versions: Sequence[int], moves: Iterable[Move]
) -> WaitEnds:
    """Return the ends of the waits that these moves restart, counted from the arrivals."""
    restarted = {
        (move.version, move.node_id, move.situation.value): move.zoned_wait
        for move in moves
        if move.action is MoveAction.WAIT and move.zoned_wait is not None
    }
    if not restarted:
        return NO_ENDS
    ids: list[UUID] = []
    ends: list[datetime] = []
    computed: dict[tuple[int, str | None, datetime], datetime] = {}
    for row in in_flight_db.arrivals(connection, campaign_id, versions, list(restarted)):
        wait = restarted[(row.version, row.node_id, row.situation)]
        zone: str | None = wait.timezone
        if wait.timezone == CONTACT_ZONE:
            zone = zone_name(row.of_contact, row.of_workspace)
        elif wait.timezone == WORKSPACE_ZONE_NAME:
            zone = row.of_workspace
        key = (id(wait), zone, row.came_at)
        if key not in computed:
            computed[key] = wait.until(row.came_at, zone_of(zone))
        ids.append(row.state_id)
        ends.append(computed[key])
    return WaitEnds(ids, ends)
