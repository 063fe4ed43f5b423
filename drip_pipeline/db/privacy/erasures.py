"""Request erasures, and rewrite the tables of the persons that are erased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection

_BY_ENROLLMENT: Final = (
    "erase_events",
    "erase_outcomes",
    "erase_assignments",
    "erase_deleted_enrollments",
    "erase_states",
    "erase_enrollments",
)
_BY_CONTACT: Final = ("erase_contact_events", "erase_operator_actions")
_OF_CONTACTS: Final = (
    "delete_queued_entries_of_erased",
    "delete_queued_waits_of_erased",
    "delete_data_faults_of_erased",
    "detach_suppressions_of_erased",
    "detach_consents_of_erased",
)


class PendingErasure(NamedTuple):
    """An erasure that is not complete: the id that replaces the contact's, and what identifies the
    person. `contact_id` is None for an address without a contact."""

    erasure_id: UUID
    workspace_id: UUID
    contact_id: UUID | None
    email: str | None
    phone: str | None
    name: str | None
    identifiers: Mapping[str, Any]


class PersonTrace(NamedTuple):
    """What else identifies a person: an `address`, or the id of an `enrollment` or a `message`."""

    erasure_id: UUID
    kind: str
    value: str


class ErasedDelivery(NamedTuple):
    """A message of a person that is erased."""

    id: UUID
    contact_id: UUID
    provider_message_id: str | None


class AddressInUse(NamedTuple):
    """An address that a contact has, in the workspace of the erasure (`is_here`) or elsewhere."""

    address: str
    is_here: bool


class TakenSuppression(NamedTuple):
    """A deleted suppression; `address` is in the form in which addresses are compared."""

    workspace_id: UUID
    address: str
    channel: str | None
    campaign_id: UUID | None
    reason: str
    created_at: datetime


class TakenConsent(NamedTuple):
    """A topic that an erased address left; `reason`: who decided."""

    workspace_id: UUID
    address: str
    topic: str
    reason: str
    created_at: datetime


class PendingCount(NamedTuple):
    """The number of erasures that are not complete, and when the oldest was requested."""

    erasures: int
    oldest_at: datetime | None


def has_pending(connection: Connection, failed_before: datetime) -> bool:
    """Return whether there are erasures that are not complete, except those whose last attempt
    failed after `failed_before`."""
    return bool(queries.scalar(connection, "has_pending_erasures", failed_before=failed_before))


def count_pending(connection: Connection) -> PendingCount:
    """Count the erasures that are not complete."""
    return queries.records(connection, "count_pending_erasures", PendingCount)[0]


def mark_failed(connection: Connection, erasure_ids: Sequence[UUID], now: datetime) -> None:
    """Store that an attempt to complete these erasures failed."""
    queries.run(connection, "mark_failed_erasures", erasure_ids=list(erasure_ids), now=now)


def lock_pending(
    connection: Connection, *, is_rewritten: bool, most: int, failed_before: datetime
) -> list[PendingErasure]:
    """Lock at most `most` erasures until the transaction ends. Those that others have locked, and
    those whose last attempt failed after `failed_before`, are left out."""
    return queries.records(
        connection,
        "lock_pending_erasures",
        PendingErasure,
        is_rewritten=is_rewritten,
        most=most,
        failed_before=failed_before,
    )


def contacts_to_erase(
    connection: Connection,
    workspace_id: UUID,
    contact_id: UUID | None,
    address: str | None,
    number: str | None,
) -> list[UUID]:
    """Return the contacts of a workspace with this id, address or phone number."""
    return queries.column(
        connection,
        "contacts_to_erase",
        workspace_id=workspace_id,
        contact_id=contact_id,
        address=address,
        number=number,
    )


def requested(
    connection: Connection,
    workspace_id: UUID,
    contact_id: UUID | None,
    address: str | None,
    number: str | None,
) -> list[UUID]:
    """Return the ids of erasures that are not complete, of a contact with this id or address."""
    return queries.column(
        connection,
        "erasures_requested",
        workspace_id=workspace_id,
        contact_id=contact_id,
        address=address,
        number=number,
    )


def delete_contacts(connection: Connection, contact_ids: Sequence[UUID]) -> list[UUID]:
    """Delete contacts. Return the ids of their erasures."""
    queries.run(connection, "delete_contacts", contact_ids=list(contact_ids))
    return queries.column(connection, "erasures_of_contacts", contact_ids=list(contact_ids))


def names(connection: Connection, erasure_ids: Sequence[UUID]) -> list[str]:
    """Return the names of these persons."""
    return queries.column(connection, "names_of_erasures", erasure_ids=list(erasure_ids))


def try_lock(connection: Connection) -> bool:
    """Lock the completion of erasures until the transaction ends, which may take long. Return False
    if another process has the lock."""
    queries.run(connection, "lift_time_limits_of_staging")
    return bool(queries.scalar(connection, "try_lock_erasing"))


def request_address(
    connection: Connection,
    workspace_id: UUID,
    *,
    email: str | None,
    phone: str | None,
    now: datetime,
) -> UUID:
    """Request the erasure of an address without a contact. Return its id."""
    erasure_id: UUID = queries.scalar(
        connection,
        "request_address_erasure",
        workspace_id=workspace_id,
        email=email,
        phone=phone,
        now=now,
    )
    return erasure_id


def delete_inactive(connection: Connection, before: datetime, chunk_size: int) -> int:
    """Delete at most `chunk_size` contacts without activity since `before`. Return their number."""
    return queries.run(connection, "delete_inactive_contacts", before=before, chunk_size=chunk_size)


def count_inactive(connection: Connection, before: datetime) -> int:
    """Return the number of contacts without activity since `before`."""
    return int(queries.scalar(connection, "count_inactive_contacts", before=before))


def lock_deliveries(connection: Connection, contact_ids: Sequence[UUID]) -> list[ErasedDelivery]:
    """Lock the messages of these contacts, and tell triggers that no number changes."""
    queries.run(connection, "mark_erasing")
    return queries.records(
        connection, "lock_deliveries_of_erased", ErasedDelivery, contact_ids=list(contact_ids)
    )


def traces(connection: Connection, erasures: Sequence[tuple[UUID, UUID]]) -> list[PersonTrace]:
    """Return what else identifies these persons, given as (erasure, contact)."""
    return queries.records(
        connection,
        "traces_of_erased",
        PersonTrace,
        erasure_ids=[erasure_id for erasure_id, _ in erasures],
        contact_ids=[contact_id for _, contact_id in erasures],
    )


def in_use(
    connection: Connection,
    addresses: Sequence[tuple[UUID, str]],
    except_contacts: Sequence[UUID] = (),
) -> list[AddressInUse]:
    """Return which of these addresses, each with the workspace of its erasure, a contact has, apart
    from `except_contacts`."""
    return queries.records(
        connection,
        "addresses_in_use",
        AddressInUse,
        addresses=[address for _, address in addresses],
        workspace_ids=[workspace_id for workspace_id, _ in addresses],
        except_contacts=list(except_contacts),
    )


class ContactAddress(NamedTuple):
    """The email address and the phone number of a contact, as they are stored."""

    email: str | None
    phone: str | None


def addresses(connection: Connection, contact_ids: Sequence[UUID]) -> list[ContactAddress]:
    """Return the addresses of these contacts, as they are stored."""
    return queries.records(
        connection, "stored_addresses", ContactAddress, contact_ids=list(contact_ids)
    )


def take_suppressions(
    connection: Connection, persons: Sequence[tuple[UUID, UUID | None, str]]
) -> list[TakenSuppression]:
    """Delete and return the suppressions of (workspace, contact, address)."""
    return queries.records(
        connection,
        "take_suppressions_of_erased",
        TakenSuppression,
        workspace_ids=[workspace_id for workspace_id, _, _ in persons],
        contact_ids=[contact_id for _, contact_id, _ in persons],
        addresses=[address for _, _, address in persons],
    )


def take_consents(
    connection: Connection, persons: Sequence[tuple[UUID, UUID | None, str]]
) -> list[TakenConsent]:
    """Delete what (workspace, contact, address) decided about topics; return the topics left."""
    return queries.records(
        connection,
        "take_consents_of_erased",
        TakenConsent,
        workspace_ids=[workspace_id for workspace_id, _, _ in persons],
        addresses=[address for _, _, address in persons],
    )


def delete_rejected_cells(
    connection: Connection, persons: Sequence[tuple[UUID, UUID | None, str]]
) -> int:
    """Delete the cells of (workspace, contact, address) that could not be read."""
    return queries.run(
        connection,
        "delete_rejected_cells_of_erased",
        workspace_ids=[workspace_id for workspace_id, _, _ in persons],
        addresses=[address for _, _, address in persons],
    )


def store_hashes(
    connection: Connection,
    key_id: str,
    rows: Sequence[TakenSuppression | TakenConsent],
    hashes: Sequence[bytes],
) -> int:
    """Store what erased addresses refused, under their hashes. Return the number of new rows."""
    return queries.run(
        connection,
        "store_erased_suppressions",
        key_id=key_id,
        workspace_ids=[row.workspace_id for row in rows],
        address_hashes=list(hashes),
        channels=[row.channel if isinstance(row, TakenSuppression) else None for row in rows],
        campaign_ids=[
            row.campaign_id if isinstance(row, TakenSuppression) else None for row in rows
        ],
        topics=[row.topic if isinstance(row, TakenConsent) else None for row in rows],
        reasons=[row.reason for row in rows],
        created=[row.created_at for row in rows],
    )


def rewrite_deliveries(connection: Connection, ids: Mapping[UUID, UUID]) -> None:
    """Take out of messages, given as {id: erasure}, what identifies the recipient. Of messages that
    are being sent, the provider's id stays until their result is stored."""
    parameters = {"ids": list(ids), "erasure_ids": list(ids.values())}
    queries.run(connection, "erase_deliveries", **parameters)
    queries.run(connection, "erase_sending_deliveries", **parameters)


def being_sent(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Return those of these messages that are being sent."""
    return set(queries.column(connection, "deliveries_being_sent", ids=list(ids)))


def rewrite_rows(
    connection: Connection, enrollments: Mapping[UUID, UUID], contacts: Mapping[UUID, UUID]
) -> None:
    """Take out of all rows of these enrollments and contacts, given as {id: erasure}, what
    identifies the person, and delete the rows that are about nothing else."""
    queries.run(connection, "mark_erasing")
    if enrollments:
        parameters = {"ids": list(enrollments), "erasure_ids": list(enrollments.values())}
        for name in _BY_ENROLLMENT:
            queries.run(connection, name, **parameters)
        queries.run(connection, "delete_recorded_messages_of_erased", ids=list(enrollments))
    if contacts:
        of_contacts = {"contact_ids": list(contacts), "erasure_ids": list(contacts.values())}
        for name in _BY_CONTACT:
            queries.run(connection, name, **of_contacts)
        for name in _OF_CONTACTS:
            queries.run(connection, name, contact_ids=list(contacts))


def finish_rewriting(
    connection: Connection, identifiers: Mapping[UUID, str], now: datetime
) -> None:
    """Store what identifies persons in payloads and files, as JSON by erasure."""
    queries.run(
        connection,
        "finish_rewriting",
        erasure_ids=list(identifiers),
        identifiers=list(identifiers.values()),
        now=now,
    )


def complete(connection: Connection, erasure_ids: Sequence[UUID], now: datetime) -> int:
    """Complete erasures, and delete what identified the persons. Return their number."""
    return queries.run(connection, "complete_erasures", erasure_ids=list(erasure_ids), now=now)


class ArchiveFile(NamedTuple):
    """A file of archived events, or a month that is detached and not archived yet."""

    id: int
    kind: str
    file: str | None
    table_name: str | None
    is_archived: bool


def archive_files(connection: Connection) -> list[ArchiveFile]:
    """Return the files of archived events, and the months that are being archived."""
    return queries.records(connection, "archive_files", ArchiveFile)


def data_of_events(
    connection: Connection,
    event_types: Sequence[str],
    event_sources: Sequence[str | None],
    event_data: Sequence[str],
) -> list[str]:
    """Return what stays of the properties of events, as JSON, in their order."""
    return queries.column(
        connection,
        "erased_data_of_events",
        event_types=list(event_types),
        event_sources=list(event_sources),
        event_data=list(event_data),
    )
