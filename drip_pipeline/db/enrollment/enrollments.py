"""Queries of enrollment: read candidate contacts in chunks, and enroll a chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.db.unreadable import Unreadable


class AddressMatch(NamedTuple):
    """The contact with a (lower-case) address. `is_elsewhere`: only another workspace has it."""

    address: str
    contact_id: UUID | None
    is_elsewhere: bool


class LatestContactEvent(NamedTuple):
    """The latest time of an event type for a contact."""

    contact_id: UUID
    event_type: str
    latest_at: datetime | Unreadable


class EntryRules(NamedTuple):
    """How a campaign admits contacts.

    `re_entry` is once, after_days, always or per_key; with after_days, the latest run must have
    ended before `ended_before`. `by_email` and `by_sms` say which addresses the campaign needs.
    """

    re_entry: str
    ended_before: datetime | None
    by_email: bool
    by_sms: bool


class Remaining(NamedTuple):
    """How many new contacts and how many runs may enter a campaign; None is without limit."""

    contacts: int | None = None
    runs: int | None = None


class EntryResult(NamedTuple):
    """How many contacts have a result: enrolled, already_in, or a reason of the refusal.

    `locked_ids`: the contacts that another transaction has locked, of the result `locked`.
    `new_contacts`: in a dry run, the contacts that were never in the campaign.
    """

    result: str
    contacts: int
    locked_ids: Sequence[UUID]
    new_contacts: int


def contacts_after(
    connection: Connection,
    workspace_id: UUID,
    *,
    after: UUID | None,
    chunk_size: int,
    tag: str | None = None,
) -> list[UUID]:
    """Return the next contacts of a workspace, optionally with a tag, in the order of their ids."""
    return queries.column(
        connection,
        "contacts_after",
        workspace_id=workspace_id,
        after=after,
        tag=tag,
        chunk_size=chunk_size,
    )


def contacts_by_address(
    connection: Connection, workspace_id: UUID, addresses: Sequence[str]
) -> list[AddressMatch]:
    """Find the contacts with these lower-case addresses; one row per address."""
    return queries.records(
        connection,
        "contacts_by_address",
        AddressMatch,
        workspace_id=workspace_id,
        addresses=addresses,
    )


def latest_events(
    connection: Connection, contact_ids: Sequence[UUID], event_types: Sequence[str]
) -> list[LatestContactEvent]:
    """Return when these event types last happened to these contacts, in any campaign or none."""
    rows, _ = queries.readable_records(
        connection,
        "latest_events_of_contacts",
        LatestContactEvent,
        contact_ids=contact_ids,
        event_types=event_types,
    )
    return rows


def enroll(
    connection: Connection,
    campaign_id: UUID,
    workspace_id: UUID,
    contact_ids: Sequence[UUID],
    entry_keys: Sequence[str | None],
    rules: EntryRules,
    now: datetime,
    entry_data: Sequence[Mapping[str, object] | None] = (),
    *,
    remaining: Remaining = Remaining(),  # noqa: B008
    is_dry_run: bool = False,
    is_by_call: bool = False,
) -> list[EntryResult]:
    """Enroll the contacts that the rules admit, and count all by result.

    `entry_keys` has one entry per contact; None stands for the number of the contact's next run.
    `entry_data` has one object per contact, or is empty: its runs have none.
    Waits for no contact that another transaction has locked. The first `remaining` ones enter;
    the others are `over_max_people` or `over_runs`. A dry run only counts. `is_by_call`: by a call
    of the campaign's webhook trigger, in the rights of the receiver; never a dry run.
    """
    parameters: dict[str, object] = {
        "campaign_id": campaign_id,
        "contact_ids": contact_ids,
        "entry_keys": list(entry_keys),
        "entry_data": [None if data is None else dump_json(data).decode() for data in entry_data],
        "now": now,
        "contacts_left": remaining.contacts,
        "runs_left": remaining.runs,
        **rules._asdict(),
    }
    if is_by_call:
        return queries.records(connection, "enroll_contacts_of_call", EntryResult, **parameters)
    return queries.records(
        connection,
        "enroll_contacts",
        EntryResult,
        workspace_id=workspace_id,
        is_dry_run=is_dry_run,
        **parameters,
    )


def spread(
    connection: Connection,
    campaign_id: UUID,
    contact_ids: Sequence[UUID],
    *,
    spread_seconds: float,
    now: datetime,
) -> int:
    """Spread the due times of the states enrolled at `now` over this time. Return their number."""
    return queries.run(
        connection,
        "spread_new_states",
        campaign_id=campaign_id,
        contact_ids=contact_ids,
        spread_seconds=spread_seconds,
        now=now,
    )
