"""Queries that change the suppression list. The eligibility check belongs to db/delivery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.domain.addresses import PhoneSpellings


class Suppression(NamedTuple):
    """An address to suppress; without a channel or campaign, for all of them. `note` is the list's
    own text, where none of the reasons says the same.
    """

    address: str
    reason: str
    channel: str | None
    campaign_id: UUID | None
    note: str | None = None


class WorkspaceCampaign(NamedTuple):
    """A campaign that a suppression list may name."""

    id: UUID
    name: str


class LatestSms(NamedTuple):
    """The latest SMS to a number in a workspace."""

    workspace_id: UUID
    message_id: UUID


def insert(
    connection: Connection, workspace_id: UUID, rows: Sequence[Suppression], *, now: datetime
) -> int:
    """Add addresses to the suppression list of a workspace. Return the number of new entries."""
    return queries.run(
        connection,
        "insert_suppressions",
        workspace_id=workspace_id,
        addresses=[row.address for row in rows],
        reasons=[row.reason for row in rows],
        notes=[row.note for row in rows],
        channels=[row.channel for row in rows],
        campaign_ids=[row.campaign_id for row in rows],
        now=now,
    )


def campaigns(connection: Connection, workspace_id: UUID) -> list[WorkspaceCampaign]:
    """Return the campaigns of a workspace."""
    return queries.records(
        connection, "campaigns_of_workspace", WorkspaceCampaign, workspace_id=workspace_id
    )


class SuppressedNumber(NamedTuple):
    """A delivery whose phone number is suppressed, with the reason why it is skipped."""

    id: UUID
    reason: str


class NumberOfDelivery(NamedTuple):
    """The phone number, in E.164 form, that a delivery goes to."""

    id: UUID
    workspace_id: UUID
    campaign_id: UUID
    number: str


def latest_sms_to(
    connection: Connection, phone: PhoneSpellings, workspace_id: UUID | None
) -> list[LatestSms]:
    """Return the latest SMS to this number, of this workspace or per workspace."""
    return queries.records(
        connection,
        "latest_sms_to",
        LatestSms,
        phone=phone.number,
        national=phone.national,
        regions=phone.regions,
        workspace_id=workspace_id,
    )


def suppress_phone(
    connection: Connection,
    phone: PhoneSpellings,
    workspace_id: UUID | None,
    *,
    source: str,
    now: datetime,
) -> int:
    """Suppress a number for SMS in this workspace or in all. Return the number of new entries."""
    return queries.run(
        connection,
        "suppress_phone",
        phone=phone.number,
        national=phone.national,
        regions=phone.regions,
        workspace_id=workspace_id,
        source=source,
        now=now,
    )


def readmit_phone(connection: Connection, phone: str, workspace_id: UUID | None) -> int:
    """Delete the suppressions of a number that its owner requested, in this workspace or in all.
    Return their number.
    """
    return queries.run(connection, "readmit_phone", phone=phone, workspace_id=workspace_id)


def suppressed_numbers(
    connection: Connection, rows: Sequence[NumberOfDelivery]
) -> list[SuppressedNumber]:
    """Return the deliveries of SMS whose number is suppressed."""
    return queries.records(
        connection,
        "suppressed_numbers",
        SuppressedNumber,
        ids=[row.id for row in rows],
        workspace_ids=[row.workspace_id for row in rows],
        campaign_ids=[row.campaign_id for row in rows],
        numbers=[row.number for row in rows],
    )


def suppress_addresses(
    connection: Connection,
    workspace_id: UUID,
    addresses: Sequence[tuple[UUID | None, str]],
    channel: str | None,
    *,
    note: str,
    now: datetime,
) -> int:
    """Suppress addresses as an operator decided, each with its contact, if there is one. Return
    the number of new entries."""
    return queries.run(
        connection,
        "suppress_addresses",
        workspace_id=workspace_id,
        contact_ids=[contact_id for contact_id, _ in addresses],
        addresses=[address for _, address in addresses],
        channel=channel,
        note=note,
        now=now,
    )


class ContactToResubscribe(NamedTuple):
    """A contact with the addresses that its suppressions may have."""

    id: UUID
    email: str | None
    phone: str | None


def contacts_to_resubscribe(
    connection: Connection, workspace_id: UUID, contact_id: UUID | None, email: str | None
) -> list[ContactToResubscribe]:
    """Return the contacts of a workspace with this id or address."""
    return queries.records(
        connection,
        "contact_to_resubscribe",
        ContactToResubscribe,
        workspace_id=workspace_id,
        contact_id=contact_id,
        email=email,
    )


def lift(
    connection: Connection,
    workspace_id: UUID,
    contact_ids: Sequence[UUID],
    addresses: Sequence[str],
    channel: str | None,
) -> int:
    """Delete the suppressions of contacts and addresses, for a channel or all. Return how many."""
    return int(
        queries.scalar(
            connection,
            "lift_suppressions",
            workspace_id=workspace_id,
            contact_ids=list(contact_ids),
            addresses=list(addresses),
            channel=channel,
        )
    )


def reopen_enrollments(connection: Connection, contact_ids: Sequence[UUID]) -> int:
    """Let contacts enter again the campaigns that they left. Return the number of runs."""
    return queries.run(connection, "reopen_enrollments", contact_ids=list(contact_ids))


def log_resubscription(
    connection: Connection,
    workspace_id: UUID,
    contact_ids: Sequence[UUID],
    event_types: Sequence[str],
    *,
    reason: str,
    now: datetime,
) -> int:
    """Log that an operator resubscribed contacts. Return the number of events."""
    return queries.run(
        connection,
        "log_resubscription",
        workspace_id=workspace_id,
        contact_ids=list(contact_ids),
        event_types=list(event_types),
        reason=reason,
        now=now,
    )


def unreachable(
    connection: Connection,
    contact_ids: Sequence[UUID],
    *,
    threshold: int,
    time_span: timedelta,
    now: datetime,
) -> list[UUID]:
    """Return those of these contacts, whose mailbox has refused a message now, with `threshold`
    soft bounces within the time span; see the function repeatedly_soft_bounced."""
    return queries.column(
        connection,
        "unreachable_contacts",
        contact_ids=list(contact_ids),
        threshold=threshold,
        time_span=time_span,
        now=now,
    )
