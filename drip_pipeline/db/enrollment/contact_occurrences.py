"""The query of the events of contacts with their properties, for matchers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.unreadable import Unreadable


class ContactOccurrence(NamedTuple):
    """An event of a contact, at contact level or in a campaign."""

    contact_id: UUID
    event_id: UUID
    event_type: str
    occurred_at: datetime | Unreadable
    event_data: Mapping[str, Any] | Unreadable


def read(
    connection: Connection,
    contact_ids: Sequence[UUID],
    event_types: Collection[str],
    *,
    earliest: datetime | None = None,
    except_campaign: UUID | None = None,
) -> list[ContactOccurrence]:
    """Return the events of these types, all or those since `earliest`, but for those in one
    campaign."""
    rows, _ = queries.readable_records(
        connection,
        "contact_occurrences",
        ContactOccurrence,
        contact_ids=uuids(contact_ids),
        event_types=sorted(event_types),
        earliest=earliest,
        except_campaign=except_campaign,
    )
    return rows
