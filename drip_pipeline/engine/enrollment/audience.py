"""Audiences: all contacts of a workspace, contacts with a tag, contacts that match a condition, or
a list of addresses or contacts. Read in chunks of contact ids; nothing is written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.enrollment import enrollments as enrollments_db
from drip_pipeline.db.execution import batch_context as facts_db
from drip_pipeline.domain.conditions.conditions import (
    Condition,
    ContactAttributes,
    compile_condition,
    needs_of,
)
from drip_pipeline.domain.contact_fields import contact_context


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


Selection = Everybody | Tagged | Matching | Addresses | Contacts


@dataclass
class AudienceCursor:
    """Reads the contact ids of a selection in chunks.

    `missed` counts addresses without a contact: `not_found`, or `other_workspace` if only another
    workspace has the address.
    """

    database: Database
    workspace_id: UUID
    selection: Selection
    now: datetime
    chunk_size: int
    missed: Counter[str] = field(default_factory=Counter)

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
            with self.database.transaction() as connection:
                matching = matching_contacts(connection, chunk, condition, self.now)
            if matching:
                yield matching

    def _of_addresses(self, addresses: Sequence[str]) -> Iterator[list[UUID]]:
        distinct = list(dict.fromkeys(address.strip().lower() for address in addresses))
        for first in range(0, len(distinct), self.chunk_size):
            with self.database.transaction() as connection:
                rows = enrollments_db.contacts_by_address(
                    connection, self.workspace_id, distinct[first : first + self.chunk_size]
                )
            contact_ids = []
            for _, contact_id, is_elsewhere in rows:
                if contact_id is not None:
                    contact_ids.append(contact_id)
                else:
                    self.missed["other_workspace" if is_elsewhere else "not_found"] += 1
            if contact_ids:
                yield contact_ids


def matching_contacts(
    connection: Connection, contact_ids: Sequence[UUID], condition: Condition, now: datetime
) -> list[UUID]:
    """Return the contacts that match the condition at `now`."""
    is_true_of = compile_condition(condition)
    event_types = needs_of(condition).event_types
    events: dict[UUID, dict[str, datetime]] = {}
    if event_types:
        for contact_id, event_type, latest_at in enrollments_db.latest_events(
            connection, contact_ids, sorted(event_types)
        ):
            events.setdefault(contact_id, {})[event_type] = latest_at
    matching = []
    for row in facts_db.contact_attributes(connection, contact_ids):
        context = contact_context(row)
        zone = context.get("timezone")
        facts = ContactAttributes(
            fields=context,
            tags=frozenset(row["tags"] or ()),
            events=events.get(row["id"], {}),
            now=now,
            timezone=zone if isinstance(zone, str) else None,
        )
        if is_true_of(facts):
            matching.append(row["id"])
    return matching
