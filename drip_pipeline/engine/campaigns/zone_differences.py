"""Compare the time zones of the database with the engine's, for the zones of workspaces.

Days of metrics are computed in SQL with the database's rules, times of contacts with the engine's
(domain/conditions/time_zones.py). Where they differ, messages near midnight count for another day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.db.campaigns import workspaces as workspaces_db
from drip_pipeline.db.connection import Connection
from drip_pipeline.domain.conditions.time_zones import find_zone

DAYS_BACK: Final = 366
DAYS_AHEAD: Final = 731


@dataclass(frozen=True, slots=True)
class ZoneDifference:
    """A workspace's time zone that the database computes differently.

    `first_day` and `last_day`: the first and the last day with another offset, of those compared;
    None for a zone that the engine does not know and reads as UTC.
    """

    zone: str
    first_day: datetime | None
    last_day: datetime | None

    def describe(self) -> str:
        """Return the difference in one sentence."""
        if self.first_day is None or self.last_day is None:
            return f"time zone {self.zone} is unknown to drip, which uses UTC instead"
        return (
            f"time zone {self.zone}: the database's clock differs from drip's between"
            f" {self.first_day:%Y-%m-%d} and {self.last_day:%Y-%m-%d}"
        )


def zone_differences(connection: Connection, now: datetime) -> list[ZoneDifference]:
    """Return the differences of all zones of workspaces, from a year ago to two years ahead."""
    zones = sorted({row.time_zone for row in workspaces_db.listed(connection)})
    unknown = [zone for zone in zones if find_zone(zone) is None]
    differing: dict[str, list[datetime]] = {}
    start = now.replace(minute=0, second=0, microsecond=0)
    instants = [start + timedelta(days=day) for day in range(-DAYS_BACK, DAYS_AHEAD)]
    for row in workspaces_db.offsets(connection, set(zones) - set(unknown), instants):
        zone = find_zone(row.zone)
        assert zone is not None
        if row.at.astimezone(zone).utcoffset() != row.utc_offset:
            differing.setdefault(row.zone, []).append(row.at)
    return [ZoneDifference(zone, None, None) for zone in unknown] + [
        ZoneDifference(zone, days[0], days[-1]) for zone, days in differing.items()
    ]
