"""Compute when restarted waits end that depend on the contact: calendar months and times of day in
its time zone, dates in its fields.

The statement that moves states adds durations by itself. These ends are computed in Python, because
the database has other rules of time zones; once per time zone and time of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing import in_flight as in_flight_db
from drip_pipeline.db.publishing.in_flight import NO_ENDS, NodeArrival, WaitEnds
from drip_pipeline.domain.conditions.conditions import Needs
from drip_pipeline.domain.conditions.time_zones import zone_name, zone_of
from drip_pipeline.domain.graph.contact_waits import judge_of
from drip_pipeline.domain.graph.local_times import CONTACT_ZONE, WORKSPACE_ZONE_NAME
from drip_pipeline.domain.graph.migration_rules import Move, MoveAction
from drip_pipeline.domain.graph.nodes import DateWait, TimedWait
from drip_pipeline.engine.execution.batch_context import facts_of

_Place: TypeAlias = tuple[int, str, str]
"""Version, node and situation of a state."""


def ends_of_waits(
    connection: Connection,
    campaign_id: UUID,
    versions: Sequence[int],
    moves: Iterable[Move],
    now: datetime,
) -> WaitEnds:
    """Return the ends of the waits that these moves restart, counted from the arrivals.

    A wait for a date that is past or missing ends at `now`.
    """
    waits: dict[_Place, TimedWait | DateWait] = {
        (move.version, move.node_id, move.situation.value): wait
        for move in moves
        if move.action is MoveAction.WAIT
        and (wait := move.zoned_wait or move.date_wait) is not None
    }
    if not waits:
        return NO_ENDS
    ids: list[UUID] = []
    ends: list[datetime] = []
    arrivals = in_flight_db.arrivals(connection, campaign_id, versions, list(waits))
    restarted = {place: w for place, w in waits.items() if not isinstance(w, DateWait)}
    dates = {place: w for place, w in waits.items() if isinstance(w, DateWait)}
    if dates:
        at_dates = [row for row in arrivals if _place(row) in dates]
        for row, until in _dates(connection, at_dates, dates, now):
            ids.append(row.state_id)
            ends.append(until)
    computed: dict[tuple[int, str | None, datetime], datetime] = {}
    for row in arrivals:
        if (wait := restarted.get(_place(row))) is None:
            continue
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


def _place(row: NodeArrival) -> _Place:
    return row.version, row.node_id, row.situation


def _dates(
    connection: Connection,
    arrivals: Sequence[NodeArrival],
    waits: Mapping[_Place, DateWait],
    now: datetime,
) -> Iterator[tuple[NodeArrival, datetime]]:
    needs = Needs()
    for wait in waits.values():
        needs |= wait.needs()
    facts = facts_of(connection, {row.contact_id for row in arrivals}, needs, now)
    judges = {place: judge_of(wait, now) for place, wait in waits.items()}
    for row in arrivals:
        contact = facts.get(row.contact_id)
        judged = None if contact is None else judges[_place(row)](contact)
        is_on = judged is not None and judged.port is None and judged.until is not None
        yield row, judged.until if is_on and judged and judged.until else now
