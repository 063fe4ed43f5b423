"""Audiences: all contacts of a workspace, contacts with a tag, contacts that match a condition, or
a list of addresses or contacts. Read in chunks of contact ids; nothing is written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.enrollment import enrollments as enrollments_db
from drip_pipeline.db.execution import batch_context as facts_db
from drip_pipeline.db.operations import data_faults as data_faults_db
from drip_pipeline.db.operations.data_faults import DataFault
from drip_pipeline.db.unreadable import Unreadable
from drip_pipeline.domain.addresses import canonical_email
from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ContactAttributes,
    Needs,
    compile_condition,
    needs_of,
)
from drip_pipeline.domain.conditions.event_matcher import longest_within
from drip_pipeline.domain.conditions.occurrences import Occurrence
from drip_pipeline.domain.conditions.time_zones import effective_zone
from drip_pipeline.domain.contact_fields import (
    CUSTOM_FIELDS,
    contact_columns_for,
    contact_context,
)
from drip_pipeline.domain.run_variables import JsonObject
from drip_pipeline.engine.enrollment import contact_occurrences
from drip_pipeline.engine.enrollment.contact_occurrences import OccurrencesByContact
from drip_pipeline.engine.isolation import describe, is_of_the_data

MATCHED_CONTACTS: Final = 2_000
"""Contacts whose events are in memory at once."""
NO_OCCURRENCES: Final[Mapping[str, Sequence[Occurrence]]] = {}


@dataclass(frozen=True, slots=True)
class Everybody:
    """All contacts of the workspace."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """Contacts with this tag."""

    tag: str


@dataclass(frozen=True, slots=True)
class Matching:
    """Contacts that match this condition, evaluated as inside a campaign."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Addresses:
    """Contacts with these email addresses, in any case."""

    addresses: Sequence[str]


@dataclass(frozen=True, slots=True)
class Contacts:
    """These contacts."""

    contact_ids: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class EntryList:
    """Contacts by email address, each with entry data; an address may occur several times."""

    entries: Sequence[tuple[str, JsonObject]]


Selection = Everybody | Tagged | Matching | Addresses | Contacts | EntryList


def summary(selection: Selection) -> str:
    """Return what a selection selects, without addresses and without the values of conditions."""
    match selection:
        case Everybody():
            return "all contacts"
        case Tagged(tag):
            return f"tag {tag}"
        case Matching(condition):
            needs = needs_of(condition)
            read = sorted(needs.fields | needs.event_types | ({"tags"} if needs.tags else set()))
            return f"a condition on {', '.join(read)}" if read else "a condition"
        case Addresses(addresses):
            return f"{len(addresses):,} addresses"
        case Contacts(contact_ids):
            return f"{len(contact_ids):,} contacts"
        case EntryList(entries):
            return f"{len(entries):,} addresses with entry data"


@dataclass
class AudienceCursor:
    """Reads the contact ids of a selection in chunks.

    `missed` counts addresses without a contact: `not_found`, or `other_workspace` if only another
    workspace has the address; and `unreadable`, contacts that a condition could not be checked on.
    """

    database: Database
    workspace_id: UUID
    selection: Selection
    now: datetime
    chunk_size: int
    missed: Counter[str] = field(default_factory=Counter)
    _data: dict[str, list[JsonObject]] = field(default_factory=dict)
    _address_of: dict[UUID, str] = field(default_factory=dict)

    def data_of(self, contact_id: UUID) -> Sequence[JsonObject | None]:
        """Return the entry data of a contact of the last chunk, one object per run; None without
        data of its own."""
        return self._data[self._address_of[contact_id]] if self._data else (None,)

    def chunks(self) -> Iterator[Sequence[UUID]]:
        """Yield non-empty chunks, each read in a transaction of its own."""
        match self.selection:
            case Everybody():
                yield from self._of_workspace()
            case Tagged(tag):
                yield from self._of_workspace(tag)
            case Matching(condition):
                yield from self._matching(condition)
            case Addresses(addresses):
                yield from self._of_addresses(addresses)
            case EntryList(entries):
                for address, data in entries:
                    self._data.setdefault(canonical_email(address), []).append(data)
                yield from self._of_addresses(list(self._data))
            case Contacts(contact_ids):
                distinct = list(dict.fromkeys(contact_ids))
                for first in range(0, len(distinct), self.chunk_size):
                    yield distinct[first : first + self.chunk_size]

    def _of_workspace(self, tag: str | None = None) -> Iterator[list[UUID]]:
        after: UUID | None = None
        while True:
            with self.database.transaction() as connection:
                contact_ids = enrollments_db.contacts_after(
                    connection,
                    self.workspace_id,
                    after=after,
                    chunk_size=self.chunk_size,
                    tag=tag,
                )
            if not contact_ids:
                return
            yield contact_ids
            after = contact_ids[-1]

    def _matching(self, condition: Condition) -> Iterator[list[UUID]]:
        for chunk in self._of_workspace():
            unchecked: dict[UUID, str] = {}
            with self.database.transaction() as connection:
                matching = matching_contacts(connection, chunk, condition, self.now, unchecked)
                store_unchecked(connection, unchecked, self.now)
            if unchecked:
                self.missed["unreadable"] += len(unchecked)
            if matching:
                yield matching

    def _of_addresses(self, addresses: Sequence[str]) -> Iterator[list[UUID]]:
        distinct = list(dict.fromkeys(canonical_email(address) for address in addresses))
        for first in range(0, len(distinct), self.chunk_size):
            with self.database.transaction() as connection:
                rows = enrollments_db.contacts_by_address(
                    connection, self.workspace_id, distinct[first : first + self.chunk_size]
                )
            contact_ids = []
            for address, contact_id, is_elsewhere in rows:
                if contact_id is not None:
                    contact_ids.append(contact_id)
                    if self._data:
                        self._address_of[contact_id] = address
                else:
                    self.missed["other_workspace" if is_elsewhere else "not_found"] += 1
            if contact_ids:
                yield contact_ids


def matching_contacts(
    connection: Connection,
    contact_ids: Sequence[UUID],
    condition: Condition,
    now: datetime,
    unchecked: dict[UUID, str] | None = None,
) -> list[UUID]:
    """Return the contacts that match the condition at `now`.

    A contact that cannot be checked, because Python cannot hold one of its values that the
    condition reads, or the condition fails on it, does not match; its reason is added to
    `unchecked`.
    """
    needs = needs_of(condition)
    if needs.occurrences and len(contact_ids) > MATCHED_CONTACTS:
        return [
            contact_id
            for first in range(0, len(contact_ids), MATCHED_CONTACTS)
            for contact_id in matching_contacts(
                connection,
                contact_ids[first : first + MATCHED_CONTACTS],
                condition,
                now,
                unchecked,
            )
        ]
    is_true_of = compile_condition(condition)
    event_types = needs.event_types
    events: dict[UUID, dict[str, datetime]] = {}
    reasons: dict[UUID, str] = {}
    if event_types:
        for contact_id, event_type, latest_at in enrollments_db.latest_events(
            connection, contact_ids, sorted(event_types)
        ):
            if isinstance(latest_at, Unreadable):
                reasons[contact_id] = (
                    f"contact {contact_id}: the time of its latest {event_type}: {latest_at.reason}"
                )
            else:
                events.setdefault(contact_id, {})[event_type] = latest_at
    occurrences: OccurrencesByContact = {}
    if needs.occurrences:
        longest = longest_within(condition)
        occurrences, unreadable_events = contact_occurrences.load(
            connection,
            contact_ids,
            needs.occurrences,
            earliest=None if longest is None else now - longest,
        )
        reasons |= unreadable_events
    matching = []
    contacts, unreadable = facts_db.contact_attributes(connection, contact_ids)
    if unreadable:
        reasons |= _unreadable_contacts(unreadable, needs)
    for row in contacts:
        if reasons and row["id"] in reasons:
            continue
        try:
            context = contact_context(row)
            facts = ContactAttributes(
                fields=context,
                tags=frozenset(row["tags"] or ()),
                events=events.get(row["id"], {}),
                now=now,
                timezone=effective_zone(context),
                occurrences=occurrences.get(row["id"], NO_OCCURRENCES),
            )
            if is_true_of(facts):
                matching.append(row["id"])
        except Exception as error:
            if not is_of_the_data(error):
                raise
            reasons[row["id"]] = f"contact {row['id']}: the condition fails ({describe(error)})"
    if reasons and unchecked is not None:
        unchecked.update(reasons)
    return matching


def _unreadable_contacts(
    unreadable: Mapping[UUID, Sequence[Unreadable]], needs: Needs
) -> dict[UUID, str]:
    """Return the contacts of whose values the condition reads one that cannot be read."""
    columns, reads_custom_fields = contact_columns_for(needs.fields)
    read = set(columns)
    if reads_custom_fields:
        read.add(CUSTOM_FIELDS)
    if needs.tags:
        read.add("tags")
    return {
        contact_id: value.describe(contact_id)
        for contact_id, values in unreadable.items()
        for value in values
        if value.column in read
    }


def store_unchecked(connection: Connection, unchecked: Mapping[UUID, str], now: datetime) -> None:
    """Store why contacts could not be checked, for the incident that names them."""
    data_faults_db.store(
        connection,
        [
            DataFault(contact_id, None, None, None, reason)
            for contact_id, reason in unchecked.items()
        ],
        now,
    )
