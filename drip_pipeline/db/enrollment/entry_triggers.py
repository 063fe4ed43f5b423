"""Queries of entry triggers: active triggers, their queues of matching contacts, and the position
of a scan through a workspace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.unreadable import Unreadable

TriggerKind: TypeAlias = Literal["tag", "score", "event", "schedule"]


class EntryTrigger(NamedTuple):
    """The entry trigger of an active campaign.

    `since` is when it was published, `completed_through` the last completed occurrence of a
    schedule,
    `pass_for` the occurrence or backfill that a scan in progress is for. Nobody is enrolled before
    `waits_until`.
    """

    id: int
    campaign_id: UUID
    campaign: str
    kind: TriggerKind
    cron: str | None
    timezone: str | None
    since: datetime
    completed_through: datetime | None
    pass_for: datetime | None
    is_backfill_due: bool
    has_queue: bool
    waits_until: datetime | None


class QueuedContact(NamedTuple):
    """A contact that started to match a trigger; `event_id` is the event that caused it."""

    id: int
    contact_id: UUID
    event_id: UUID | None


class TriggeringEvent(NamedTuple):
    """An event that may enroll its contact, with its properties."""

    id: UUID
    contact_id: UUID
    occurred_at: datetime | Unreadable
    event_data: Mapping[str, Any] | Unreadable


class ScanPosition(NamedTuple):
    """The locked state of a trigger: see EntryTrigger; `pass_reached` is the last contact scanned.

    `is_opening`: the transactions in progress at the start are awaited; `is_open`: they have ended.
    """

    since: datetime
    completed_through: datetime | None
    pass_for: datetime | None
    pass_reached: UUID | None
    is_backfill_due: bool
    is_opening: bool
    is_open: bool


def active(connection: Connection) -> list[EntryTrigger]:
    """Return the entry triggers of active campaigns."""
    return queries.records(connection, "entry_triggers", EntryTrigger)


def take_queued(connection: Connection, trigger_id: int, chunk_size: int) -> list[QueuedContact]:
    """Delete the next entries from a trigger's queue and return them."""
    return queries.records(
        connection,
        "take_queued_contacts",
        QueuedContact,
        trigger_id=trigger_id,
        chunk_size=chunk_size,
    )


def events_by_id(connection: Connection, event_ids: Sequence[UUID]) -> list[TriggeringEvent]:
    """Return these events; those that were deleted meanwhile are missing."""
    events, _ = queries.readable_records(
        connection, "events_by_id", TriggeringEvent, event_ids=uuids(event_ids)
    )
    left = list({*event_ids} - {event.id for event in events})
    if left:
        more, _ = queries.readable_records(
            connection, "campaign_events_by_id", TriggeringEvent, event_ids=uuids(left)
        )
        events += more
    return events


def events_of_contacts(
    connection: Connection,
    campaign_id: UUID,
    contact_ids: Sequence[UUID],
    event_type: str,
    *,
    accepts_machines: bool,
) -> list[TriggeringEvent]:
    """Return the events of this type of these contacts, but for those of the campaign, and for
    those caused by machines unless they are accepted.
    """
    events, _ = queries.readable_records(
        connection,
        "events_of_contacts",
        TriggeringEvent,
        campaign_id=campaign_id,
        contact_ids=uuids(contact_ids),
        event_type=event_type,
        accepts_machines=accepts_machines,
    )
    return events


def queue_again(
    connection: Connection,
    trigger_id: int,
    workspace_id: UUID,
    entries: Sequence[tuple[UUID, UUID | None]],
) -> None:
    """Append entries, each a contact and the event that queued it, to a trigger's queue."""
    queries.run(
        connection,
        "queue_contacts_again",
        workspace_id=workspace_id,
        trigger_id=trigger_id,
        contact_ids=[contact_id for contact_id, _ in entries],
        event_ids=[event_id for _, event_id in entries],
    )


def matching(
    connection: Connection,
    contact_ids: Sequence[UUID],
    *,
    tag: str | None,
    at_least: float | None,
) -> set[UUID]:
    """Return the contacts that have the tag, or at least the score, now."""
    return set(
        queries.column(
            connection,
            "contacts_with_tag_or_score",
            contact_ids=contact_ids,
            tag=tag,
            at_least=at_least,
        )
    )


def enrolled(connection: Connection, campaign_id: UUID, contact_ids: Sequence[UUID]) -> set[UUID]:
    """Return the contacts that are or were enrolled in the campaign."""
    return set(
        queries.column(
            connection, "enrolled_contacts", campaign_id=campaign_id, contact_ids=contact_ids
        )
    )


def lock(connection: Connection, trigger_id: int, now: datetime) -> ScanPosition | None:
    """Lock a trigger until the transaction ends; None if it is locked elsewhere, or deleted."""
    return queries.record(
        connection, "lock_entry_trigger", ScanPosition, trigger_id=trigger_id, now=now
    )


def begin_to_open(connection: Connection, trigger_id: int) -> None:
    """Record the transactions in progress; the scan starts when they have ended."""
    queries.run(connection, "begin_to_open_entry_trigger", trigger_id=trigger_id)


def save_position(
    connection: Connection,
    trigger_id: int,
    *,
    pass_for: datetime,
    pass_reached: UUID | None,
    is_done: bool,
) -> None:
    """Store the position of a scan, or its end."""
    queries.run(
        connection,
        "save_scan_position",
        trigger_id=trigger_id,
        pass_for=pass_for,
        pass_reached=pass_reached,
        is_done=is_done,
    )


def delete_orphaned(connection: Connection) -> int:
    """Delete queue entries of deleted triggers. Return their number."""
    return queries.run(connection, "delete_orphaned_queue_entries")
