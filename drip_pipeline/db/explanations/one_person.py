"""What is stored of one contact: its data, runs, log, messages and variants."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.unreadable import NESTED_TAGS, Unreadable


class PersonRow(NamedTuple):
    """A contact with its workspace."""

    id: UUID
    workspace_id: UUID
    workspace: str
    workspace_time_zone: str
    region: str | None
    email: str | None
    phone: str | None
    name: str | None
    company: str | None
    job_title: str | None
    ai_score: int | None
    status: str | None
    tags: list[str] | None
    custom_fields: Any
    last_interaction: datetime | None
    created_at: datetime | None
    updated_at: datetime | None


class SuppressionRow(NamedTuple):
    """An entry of the suppression list; without a channel or campaign, for all. `applies` to the
    contact as it is now."""

    address: str
    channel: str | None
    campaign_id: UUID | None
    campaign: str | None
    reason: str
    source: str
    note: str | None
    created_at: datetime
    applies: bool


class TopicState(NamedTuple):
    """A topic and the contact's decision: subscribed, pending, unsubscribed or unconfirmed."""

    name: str
    title: str
    status: str
    is_by_operator: bool
    changed_at: datetime | None


class RunRow(NamedTuple):
    """One run of a contact, with its state and the message that it waits for. `number`: which run
    of this contact in the campaign it is."""

    id: UUID
    campaign_id: UUID
    campaign: str
    campaign_status: str
    entry_key: str
    enrollment_status: str
    started_at: datetime
    enrollment_ended_at: datetime | None
    version: int | None
    state: str | None
    node_id: str | None
    resume_port: str | None
    path: Any
    wait_until: datetime | None
    wait_for_event: str | None
    due_at: datetime | None
    node_entered_at: datetime | None
    retry_count: int | None
    max_retries: int | None
    last_error: str | None
    exit_reason: str | None
    ended_at: datetime | None
    delivery_id: UUID | None
    delivery_node_id: str | None
    channel: str | None
    delivery_status: str | None
    delivery_due_at: datetime | None
    held_by: str | None
    held_until: datetime | None
    attempts: int | None
    delivery_error: str | None
    leased_until: datetime | None
    paused_by: Any
    paused_at: datetime | None
    number: int
    runs_in_campaign: int
    all_runs: int


class LoggedEvent(NamedTuple):
    """An event of a run."""

    enrollment_id: UUID
    event_type: str
    at: datetime
    node_id: str | None
    data: Mapping[str, Any]
    message_id: UUID | None
    version: int | None
    variant_group: str | None


class MessageRow(NamedTuple):
    """A sent message of a run, and when what happened to it."""

    enrollment_id: UUID
    message_id: UUID
    node_id: str
    version: int
    channel: str
    variant_group: str | None
    certainty: str
    sent_at: datetime
    delivered_at: datetime | None
    first_opened_at: datetime | None
    open_count: int
    first_machine_opened_at: datetime | None
    first_clicked_at: datetime | None
    click_count: int
    first_replied_at: datetime | None
    first_converted_at: datetime | None
    conversion_value: Decimal
    unsubscribed_at: datetime | None
    complained_at: datetime | None
    soft_bounced_at: datetime | None
    bounced_at: datetime | None
    failed_at: datetime | None
    is_recorded: bool


class VariantRow(NamedTuple):
    """A variant of a run; `winner`, `decided_at` and `reason` once its test is decided."""

    enrollment_id: UUID
    split_node_id: str
    version: int
    variant: str
    is_holdout: bool
    is_randomized: bool
    assigned_at: datetime
    test_status: str | None
    winner: str | None
    decided_at: datetime | None
    reason: str | None


class OwnEvents(NamedTuple):
    """The number and latest time of a contact's own events of a type."""

    event_type: str
    events: int
    latest_at: datetime | None


class EntryRow(NamedTuple):
    """The entry trigger of a campaign, None for a campaign without one, and the contact's place
    before it. `waits_until`: a guard has stopped the trigger until then."""

    kind: str | None
    since: datetime | None
    has_backfill: bool | None
    completed_through: datetime | None
    is_queued: bool
    waits_until: datetime | None
    waits_for: str | None
    latest_event_at: datetime | None


class FoundContact(NamedTuple):
    """A contact, and its values that Python cannot hold, which are None in the row."""

    row: PersonRow
    unreadable: tuple[Unreadable, ...]


def find(
    connection: Connection, contact_id: UUID | None, email: str | None, workspace: str | None
) -> list[FoundContact]:
    """Return the contacts with this id or address, of the workspace with this name or of all."""
    rows, has_unreadable = queries.readable_records(
        connection,
        "person",
        PersonRow,
        contact_id=contact_id,
        email=email,
        workspace=workspace,
    )
    contacts = [_readable(row) if has_unreadable else FoundContact(row, ()) for row in rows]
    return [_without_nested_tags(contact) for contact in contacts]


def _is_unreadable(value: object) -> bool:
    return isinstance(value, Unreadable)


def _readable(row: PersonRow) -> FoundContact:
    unreadable = tuple(value for value in row if isinstance(value, Unreadable))
    values = (None if isinstance(value, Unreadable) else value for value in row)
    return FoundContact(PersonRow._make(values), unreadable)


def _without_nested_tags(contact: FoundContact) -> FoundContact:
    if all(isinstance(tag, str) for tag in contact.row.tags or ()):
        return contact
    return FoundContact(contact.row._replace(tags=None), (*contact.unreadable, NESTED_TAGS))


def suppressions(
    connection: Connection, workspace_id: UUID, contact_id: UUID, addresses: Sequence[str]
) -> list[SuppressionRow]:
    """Return the suppressions of a contact and its addresses, oldest first."""
    return queries.records(
        connection,
        "suppressions_of_person",
        SuppressionRow,
        workspace_id=workspace_id,
        contact_id=contact_id,
        addresses=list(addresses),
    )


def topics(
    connection: Connection, person: PersonRow, email: str | None, phone: str | None
) -> list[TopicState]:
    """Return what a contact with these addresses has decided about the topics of its workspace."""
    return queries.records(
        connection,
        "topics_of_person",
        TopicState,
        workspace_id=person.workspace_id,
        contact_id=person.id,
        email=email,
        phone=phone,
    )


def runs(
    connection: Connection, contact_id: UUID, campaign_id: UUID | None, *, limit: int
) -> list[RunRow]:
    """Return the latest runs of a contact, of one campaign or of all, latest first."""
    return queries.records(
        connection,
        "runs_of_person",
        RunRow,
        contact_id=contact_id,
        campaign_id=campaign_id,
        count_limit=limit,
    )


def log(
    connection: Connection,
    enrollment_ids: Sequence[UUID],
    event_types: Collection[str],
    *,
    limit: int,
) -> list[LoggedEvent]:
    """Return the latest events of these types of each run, in the order of time.

    Data that Python cannot hold is left out, and an event whose time it cannot hold.
    """
    rows, has_unreadable = queries.readable_records(
        connection,
        "log_of_runs",
        LoggedEvent,
        enrollment_ids=list(enrollment_ids),
        event_types=sorted(event_types),
        count_limit=limit,
    )
    if has_unreadable:
        rows = [
            row._replace(data={}) if _is_unreadable(row.data) else row
            for row in rows
            if not _is_unreadable(row.at)
        ]
    return rows


def messages(
    connection: Connection, enrollment_ids: Sequence[UUID], *, limit: int
) -> list[MessageRow]:
    """Return the latest messages of each run, in the order of time."""
    return queries.records(
        connection,
        "messages_of_runs",
        MessageRow,
        enrollment_ids=list(enrollment_ids),
        count_limit=limit,
    )


def variants(connection: Connection, enrollment_ids: Sequence[UUID]) -> list[VariantRow]:
    """Return the variants of these runs, in the order of time."""
    return queries.records(
        connection, "variants_of_runs", VariantRow, enrollment_ids=list(enrollment_ids)
    )


def own_events(connection: Connection, contact_id: UUID) -> list[OwnEvents]:
    """Return the numbers of a contact's own events by type, latest first."""
    rows, has_unreadable = queries.readable_records(
        connection, "events_of_person", OwnEvents, contact_id=contact_id
    )
    if has_unreadable:
        rows = [
            row._replace(latest_at=None) if _is_unreadable(row.latest_at) else row for row in rows
        ]
    return rows


def entry(connection: Connection, contact_id: UUID, campaign_id: UUID) -> EntryRow | None:
    """Return the entry trigger of a campaign and the contact's place before it."""
    return queries.record(
        connection, "entry_of_person", EntryRow, contact_id=contact_id, campaign_id=campaign_id
    )


class FieldValues(NamedTuple):
    """New values of a contact's fields; those that are not named in `names` are ignored."""

    names: Sequence[str]
    email: str | None
    name: str | None
    company: str | None
    phone: str | None
    job_title: str | None
    ai_score: int | None
    status: str | None
    tags: Sequence[str]
    last_interaction: datetime | None
    custom_fields: str
    removed: Sequence[str]


class FieldChanges(NamedTuple):
    """The names of the fields that changed, and 1 if the contact was written, else 0."""

    names: list[str]
    written: int


def others_of_address(
    connection: Connection, workspace_id: UUID, contact_id: UUID, email: str
) -> list[UUID]:
    """Return the other contacts of a workspace that have this address."""
    return queries.column(
        connection,
        "other_contacts_of_address",
        workspace_id=workspace_id,
        contact_id=contact_id,
        email=email,
    )


def lock_contacts_of(connection: Connection, workspace_id: UUID) -> None:
    """Let imports and changes of addresses in the workspace wait until the transaction ends."""
    queries.run(connection, "lock_addresses_of_workspace", workspace_id=workspace_id)


def set_fields(
    connection: Connection, contact_id: UUID, values: FieldValues, now: datetime
) -> FieldChanges | None:
    """Set fields of a contact; None if it does not exist any more."""
    return queries.record(
        connection,
        "set_contact_fields",
        FieldChanges,
        contact_id=contact_id,
        now=now,
        **values._asdict(),
    )
