"""Queries of the guards of volume: enrollments by campaign and day, stopped entry triggers, and the
rates that pause a campaign.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json

WaitsFor: TypeAlias = Literal["per_day", "confirm_above"]


class EntryGuard(NamedTuple):
    """The enrollments of a campaign on `entry_day`: `entries` of all kinds (None if they are not
    counted), `trigger_entries` by its trigger; the size that an operator has confirmed, and the
    rule of the workspace."""

    time_zone: str
    rule: Mapping[str, Any] | None
    entry_day: date | None
    entries: int | None
    trigger_entries: int
    entries_confirmed: int | None


class GuardState(NamedTuple):
    """What the guard of a campaign has stopped: its entry trigger, or the campaign."""

    waits_until: datetime | None
    waits_for: WaitsFor | None
    waiting: int | None
    agreed: int | None
    entries_confirmed: int | None
    paused_by: Mapping[str, Any] | None
    paused_at: datetime | None


class StoppedEntries(NamedTuple):
    """An entry trigger that waits for a confirmation, with the contacts that wait at least."""

    campaign_id: UUID
    workspace_id: UUID
    campaign: str
    waiting: int | None
    agreed: int | None


class PausedByGuard(NamedTuple):
    """A campaign that its guard has paused."""

    campaign_id: UUID
    workspace_id: UUID
    campaign: str
    paused_by: Mapping[str, Any] | None
    paused_at: datetime | None


class CampaignNumbers(NamedTuple):
    """The messages of an active campaign in a period; see `domain.graph.volume.MessageCounts`."""

    campaign_id: UUID
    workspace_id: UUID
    campaign: str
    version: int
    sent: int
    complained: int
    bounced: int
    failed: int
    never_sent: int


def lock(connection: Connection, campaign_id: UUID, workspace_id: UUID) -> None:
    """Lock a campaign's guard until the transaction ends; created if there is none."""
    queries.run(
        connection, "ensure_campaign_guard", campaign_id=campaign_id, workspace_id=workspace_id
    )
    queries.run(connection, "lock_campaign_guard", campaign_id=campaign_id)


def entry_guard(connection: Connection, campaign_id: UUID) -> EntryGuard:
    """Return what the guard of a campaign knows about its enrollments."""
    (row,) = queries.records(connection, "entry_guard", EntryGuard, campaign_id=campaign_id)
    return row


def entries_since(connection: Connection, campaign_id: UUID, since: datetime) -> int:
    """Count the enrollments of a campaign that started then or later."""
    return int(
        queries.scalar(connection, "entries_since", campaign_id=campaign_id, since=since) or 0
    )


def contacts_entered(connection: Connection, campaign_id: UUID) -> int:
    """Count the contacts that ever entered a campaign."""
    return int(queries.scalar(connection, "contacts_of_campaign", campaign_id=campaign_id) or 0)


def add_entries(
    connection: Connection,
    campaign_id: UUID,
    workspace_id: UUID,
    day: date,
    *,
    entries: int | None,
    trigger_entries: int,
) -> None:
    """Store `entries`, all enrollments of a day, and add those by the entry trigger."""
    queries.run(
        connection,
        "add_entries",
        campaign_id=campaign_id,
        workspace_id=workspace_id,
        entry_day=day,
        entries=entries,
        trigger_entries=trigger_entries,
    )


def has_queued_more_than(connection: Connection, trigger_id: int, size: int) -> bool:
    """Return whether a trigger's queue has more entries than this."""
    return bool(
        queries.scalar(connection, "has_queued_more_than", trigger_id=trigger_id, size=size)
    )


def queued_contacts(
    connection: Connection, trigger_id: int, campaign_id: UUID, *, once: bool
) -> int:
    """Count the distinct contacts in a trigger's queue; with `once` those not enrolled yet."""
    return int(
        queries.scalar(
            connection,
            "queued_contacts",
            trigger_id=trigger_id,
            campaign_id=campaign_id,
            once=once,
        )
        or 0
    )


def stop_entries(
    connection: Connection,
    campaign_id: UUID,
    workspace_id: UUID,
    *,
    until: datetime,
    waits_for: WaitsFor,
    version: int,
    waiting: int | None,
    agreed: int,
) -> None:
    """Store that the entry trigger waits until then, unless another version is published."""
    queries.run(
        connection,
        "stop_entries",
        campaign_id=campaign_id,
        workspace_id=workspace_id,
        until=until,
        waits_for=waits_for,
        version=version,
        waiting=waiting,
        agreed=agreed,
    )


def confirm_entries(
    connection: Connection, campaign_id: UUID, workspace_id: UUID, size: int
) -> bool:
    """Store the confirmed enrollments a day; return whether anything changed."""
    return bool(
        queries.run(
            connection,
            "confirm_entries",
            campaign_id=campaign_id,
            workspace_id=workspace_id,
            size=size,
        )
    )


def continue_entries(connection: Connection, workspace_id: UUID) -> int:
    """Let the stopped triggers of a workspace be checked again; return their number."""
    return queries.run(connection, "continue_entries", workspace_id=workspace_id)


def state(
    connection: Connection, campaign_id: UUID, now: datetime | None = None
) -> GuardState | None:
    """Return what the guard of a campaign has stopped; None if it never counted anything. With
    `now`, waits that have ended are left out."""
    return queries.record(
        connection, "guard_of_campaign", GuardState, campaign_id=campaign_id, now=now
    )


def stopped(connection: Connection, now: datetime) -> list[StoppedEntries]:
    """Return the entry triggers that wait for a confirmation."""
    return queries.records(connection, "stopped_entries", StoppedEntries, now=now)


def paused(connection: Connection) -> list[PausedByGuard]:
    """Return the campaigns that their guard has paused."""
    return queries.records(connection, "paused_by_guard", PausedByGuard)


def numbers(
    connection: Connection, since: datetime, *, at_least: int, campaign_id: UUID | None = None
) -> list[CampaignNumbers]:
    """Return the numbers of active campaigns with at least so many messages since then."""
    return queries.records(
        connection,
        "campaigns_with_messages",
        CampaignNumbers,
        since=since,
        at_least=at_least,
        campaign_id=campaign_id,
    )


def store_pause(
    connection: Connection,
    campaign_id: UUID,
    workspace_id: UUID,
    paused_by: Mapping[str, object],
    now: datetime,
) -> None:
    """Store why the guard has paused a campaign."""
    queries.run(
        connection,
        "store_pause_of_guard",
        campaign_id=campaign_id,
        workspace_id=workspace_id,
        paused_by=dump_json(dict(paused_by)).decode(),
        now=now,
    )


def end_pause(connection: Connection, campaign_id: UUID, now: datetime) -> bool:
    """Let the guard count from now on; return whether it had paused the campaign."""
    return bool(queries.run(connection, "end_pause_of_guard", campaign_id=campaign_id, now=now))
