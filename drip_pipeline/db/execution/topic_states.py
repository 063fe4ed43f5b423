"""Queries of the runs that end because their contact left the topic of the campaign, or is
erased.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.execution.workflow_states import DueState


class LeavingContact(NamedTuple):
    """A contact that left a topic; without one, all of them."""

    contact_id: UUID
    topic: str | None


def leaving(connection: Connection) -> list[LeavingContact]:
    """Return the contacts of this transaction's events that are outside a topic that they left."""
    return queries.records(connection, "contacts_leaving_topics", LeavingContact)


def lock_states(connection: Connection, left: Sequence[LeavingContact]) -> list[DueState]:
    """Lock and return the open runs of contacts in campaigns of the topics that they left."""
    return [
        DueState._make(row)
        for row in queries.tuples(
            connection,
            "states_of_topics",
            contact_ids=[each.contact_id for each in left],
            topics=[each.topic for each in left],
        )
    ]


def lock_open_states(connection: Connection, contact_ids: Sequence[UUID]) -> list[DueState]:
    """Lock and return the open runs of contacts that are erased."""
    return [
        DueState._make(row)
        for row in queries.tuples(
            connection, "open_states_of_erased", contact_ids=list(contact_ids)
        )
    ]
