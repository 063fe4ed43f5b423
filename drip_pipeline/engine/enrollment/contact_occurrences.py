"""Load the events of contacts with their properties, where no run asks: for selections of contacts
and for event triggers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.enrollment import contact_occurrences as occurrences_db
from drip_pipeline.db.unreadable import Unreadable
from drip_pipeline.domain.conditions.occurrences import Occurrence

OccurrencesByContact: TypeAlias = Mapping[UUID, Mapping[str, Sequence[Occurrence]]]
"""Events by contact and type."""


def load(
    connection: Connection,
    contact_ids: Sequence[UUID],
    event_types: Collection[str],
    *,
    earliest: datetime | None = None,
    except_campaign: UUID | None = None,
) -> tuple[OccurrencesByContact, dict[UUID, str]]:
    """Return the events by contact and type, and by contact why its events cannot be read.

    Only events since `earliest`, and none of the campaign that is left out. One statement.
    """
    events: dict[UUID, dict[str, list[Occurrence]]] = {}
    unreadable: dict[UUID, str] = {}
    for row in occurrences_db.read(
        connection,
        contact_ids,
        event_types,
        earliest=earliest,
        except_campaign=except_campaign,
    ):
        event = occurrence(row.event_id, row.event_type, row.occurred_at, row.event_data)
        if isinstance(event, str):
            unreadable[row.contact_id] = f"contact {row.contact_id}: {event}"
        else:
            events.setdefault(row.contact_id, {}).setdefault(row.event_type, []).append(event)
    return events, unreadable


def occurrence(
    event_id: UUID,
    event_type: str,
    occurred_at: datetime | Unreadable,
    properties: Mapping[str, object] | Unreadable,
) -> Occurrence | str:
    """Return an event as matchers read it, or why it cannot be read."""
    for what, value in (("properties", properties), ("time", occurred_at)):
        if isinstance(value, Unreadable):
            return f"the {what} of event {event_id} cannot be read: {value.reason}"
    assert not isinstance(properties, Unreadable)
    assert not isinstance(occurred_at, Unreadable)
    return Occurrence(
        event_type,
        occurred_at,
        properties,
        is_machine=properties.get("machine") is True,
        event_id=event_id,
    )
