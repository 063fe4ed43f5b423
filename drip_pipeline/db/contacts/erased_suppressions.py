"""Suppressions of erased addresses, stored as hashes: looked up and restored when an address comes
back, and what is stored of later events of erased contacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class ContactAddresses(NamedTuple):
    """The addresses of a contact in the form in which addresses are compared, and the country of
    its workspace's phone numbers."""

    contact_id: UUID
    workspace_id: UUID
    email: str | None
    phone: str | None
    region: str | None


class HashedAddress(NamedTuple):
    """An address with its hash by one key."""

    workspace_id: UUID
    contact_id: UUID
    address: str
    address_hash: bytes


class MessageTo(NamedTuple):
    """A message and one address of its contact."""

    id: UUID
    workspace_id: UUID
    campaign_id: UUID
    address: str


class SuppressedMessage(NamedTuple):
    """A message that may not be sent, with the reason."""

    id: UUID
    reason: str


def has_any(connection: Connection, workspace_id: UUID) -> bool:
    """Return whether a workspace has suppressed addresses that were erased."""
    return bool(queries.scalar(connection, "has_erased_suppressions", workspace_id=workspace_id))


def addresses(connection: Connection, contact_ids: Sequence[UUID]) -> list[ContactAddresses]:
    """Return the addresses of these contacts."""
    return queries.records(
        connection, "addresses_of_contacts", ContactAddresses, contact_ids=list(contact_ids)
    )


def imported_addresses(
    connection: Connection, workspace_id: UUID, *, first_line: int, last_line: int
) -> list[ContactAddresses]:
    """Return the addresses of the contacts of these staged lines."""
    return queries.records(
        connection,
        "addresses_of_imported",
        ContactAddresses,
        workspace_id=workspace_id,
        first_line=first_line,
        last_line=last_line,
    )


def restore(connection: Connection, rows: Sequence[HashedAddress]) -> int:
    """Suppress those of these addresses again that were suppressed when they were erased. Return
    the number of suppressions."""
    return int(
        queries.scalar(
            connection,
            "restore_suppressions",
            workspace_ids=[row.workspace_id for row in rows],
            address_hashes=[row.address_hash for row in rows],
            contact_ids=[row.contact_id for row in rows],
            addresses=[row.address for row in rows],
        )
    )


def lift(
    connection: Connection, workspace_id: UUID, hashes: Sequence[bytes], channel: str | None
) -> int:
    """Forget that the addresses with these hashes were suppressed, on a channel or on all. Return
    the number of suppressions."""
    return queries.run(
        connection,
        "lift_erased_suppressions",
        workspace_id=workspace_id,
        address_hashes=list(hashes),
        channel=channel,
    )


def suppressed(
    connection: Connection, messages: Sequence[MessageTo], channel: str
) -> list[SuppressedMessage]:
    """Return which of these messages may not be sent, because an address is suppressed."""
    return queries.records(
        connection,
        "suppressed_again",
        SuppressedMessage,
        ids=[row.id for row in messages],
        workspace_ids=[row.workspace_id for row in messages],
        campaign_ids=[row.campaign_id for row in messages],
        addresses=[row.address for row in messages],
        channel=channel,
    )


def has_erasures(connection: Connection) -> bool:
    """Return whether a contact was ever erased."""
    return bool(queries.scalar(connection, "has_erasures"))


def erase_arrivals(connection: Connection) -> int:
    """Take out of this transaction's events of erased persons what would identify them again."""
    return queries.run(connection, "erase_arrivals")
