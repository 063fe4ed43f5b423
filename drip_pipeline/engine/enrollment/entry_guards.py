"""Guards of the number of contacts that enter a campaign: `per_day` and `max_people` of a campaign,
and the size above which a workspace wants a confirmation.

Campaigns with limits are entered by one transaction at a time, so the limits are exact. A campaign
without limits is not locked, and its own enrollments are counted only for its entry trigger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, Final, NamedTuple

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.enrollment import guards as guards_db
from drip_pipeline.db.enrollment.enrollments import Remaining
from drip_pipeline.db.enrollment.guards import WaitsFor
from drip_pipeline.domain.conditions.local_instants import first_valid_instant
from drip_pipeline.domain.conditions.time_zones import zone_of
from drip_pipeline.domain.graph.volume import CONFIRM_ABOVE, VolumeGuards
from drip_pipeline.engine.campaigns.campaign import Campaign

OVER_PER_DAY: Final = "over_per_day"
OVER_MAX_PEOPLE: Final = "over_max_people"
OVER_CONFIRMED: Final = "over_confirmed"
_DAY: Final = timedelta(days=1)


class LocalDay(NamedTuple):
    """A day of a workspace, when it starts and when the next one starts."""

    day: date
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Entries:
    """The enrollments of a campaign today, and what its guards still allow.

    `entries` of all kinds, None unless `per_day` counts them; `by_trigger` those of its entry
    trigger. `remaining`: what the limits of the campaign allow. `agreed`: enrollments by the
    trigger a day without a confirmation, None without limit.
    """

    day: LocalDay
    entries: int | None
    by_trigger: int
    remaining: Remaining
    agreed: int | None

    @property
    def trigger_remaining(self) -> int | None:
        """The enrollments that the trigger may still make today; None without limit."""
        return None if self.agreed is None else max(0, self.agreed - self.by_trigger)


def local_day(now: datetime, zone: tzinfo) -> LocalDay:
    """Return the day of `now` in a time zone."""
    day = now.astimezone(zone).date()
    return LocalDay(
        day,
        first_valid_instant(datetime.combine(day, time()), zone),
        first_valid_instant(datetime.combine(day + _DAY, time()), zone),
    )


def agreed_size(rule: Mapping[str, Any] | None) -> int | None:
    """Return the size above which enrollments are confirmed; None if they never are."""
    if rule is None:
        return CONFIRM_ABOVE
    above = rule["confirm_above"]
    return None if above is None else int(above)


def entries_of(
    connection: Connection, campaign: Campaign, guards: VolumeGuards, now: datetime
) -> Entries:
    """Return what the guards of a campaign allow; those of a campaign with limits are locked until
    the transaction ends."""
    campaign_id = campaign.campaign_id
    if guards.limits_entries:
        guards_db.lock(connection, campaign_id, campaign.workspace_id)
    stored = guards_db.entry_guard(connection, campaign_id)
    day = local_day(now, zone_of(stored.time_zone))
    is_today = stored.entry_day == day.day
    entries: int | None = None
    runs: int | None = None
    contacts: int | None = None
    if guards.per_day is not None:
        entries = stored.entries if is_today else None
        if entries is None:
            entries = guards_db.entries_since(connection, campaign_id, day.starts_at)
        runs = max(0, guards.per_day - entries)
    if guards.max_people is not None:
        contacts = max(0, guards.max_people - guards_db.contacts_entered(connection, campaign_id))
    agreed = agreed_size(stored.rule)
    if agreed is not None:
        agreed = max(agreed, stored.entries_confirmed or 0)
    return Entries(
        day, entries, stored.trigger_entries if is_today else 0, Remaining(contacts, runs), agreed
    )


def count(
    connection: Connection,
    campaign: Campaign,
    before: Entries,
    entered: int,
    *,
    is_by_trigger: bool = False,
) -> None:
    """Count enrollments that a transaction has made, if a guard needs their number."""
    if not entered or not (is_by_trigger or before.entries is not None):
        return
    guards_db.add_entries(
        connection,
        campaign.campaign_id,
        campaign.workspace_id,
        before.day.day,
        entries=None if before.entries is None else before.entries + entered,
        trigger_entries=entered if is_by_trigger else 0,
    )


def stop(
    connection: Connection,
    campaign: Campaign,
    version: int,
    entries: Entries,
    waits_for: WaitsFor,
    *,
    waiting: int | None,
) -> None:
    """Let the entry trigger of a campaign wait for the next day, or for what ends its wait."""
    agreed = entries.agreed if waits_for == "confirm_above" else entries.entries
    guards_db.stop_entries(
        connection,
        campaign.campaign_id,
        campaign.workspace_id,
        until=entries.day.ends_at,
        waits_for=waits_for,
        version=version,
        waiting=waiting,
        agreed=agreed or 0,
    )
