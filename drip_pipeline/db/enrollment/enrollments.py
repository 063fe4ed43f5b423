"""Letting people into campaigns: who could be meant, slice by slice, and the statement that decides
about a slice and inserts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def contacts_after(
    connection: Connection,
    workspace_id: UUID,
    *,
    after: UUID | None,
    chunk_size: int,
    tag: str | None = None,
) -> list[UUID]:
    """The next people of a workspace (with a tag) in the order of their ids."""
    return [
        row[0]
        for row in queries.tuples(
            connection,
            "contacts_after",
            workspace_id=workspace_id,
            after=after,
            tag=tag,
            chunk_size=chunk_size,
        )
    ]


def contacts_by_address(
    connection: Connection, workspace_id: UUID, addresses: Sequence[str]
) -> list[tuple[str, UUID | None, bool]]:
    """(address, contact or None, known in another workspace only); addresses in small letters."""
    return [
        (row[0], row[1], row[2])
        for row in queries.tuples(
            connection, "contacts_by_address", workspace_id=workspace_id, addresses=addresses
        )
    ]


def latest_events(
    connection: Connection, contact_ids: Sequence[UUID], event_types: Sequence[str]
) -> list[tuple[UUID, str, datetime]]:
    """(contact, event type, latest time)."""
    return [
        (row[0], row[1], row[2])
        for row in queries.tuples(
            connection,
            "latest_events_of_contacts",
            contact_ids=contact_ids,
            event_types=event_types,
        )
    ]


def enroll(
    connection: Connection,
    campaign_id: UUID,
    workspace_id: UUID,
    contact_ids: Sequence[UUID],
    *,
    entry_keys: Sequence[str | None],
    re_entry: str,
    ended_before: datetime | None,
    by_email: bool,
    by_sms: bool,
    now: datetime,
) -> dict[str, int]:
    """Insert the enrollments of these people, each under the key at its place (None: the next run's
    number); how many were enrolled, in already, or refused, by verdict.
    """
    params: dict[str, Any] = {
        "campaign_id": campaign_id,
        "workspace_id": workspace_id,
        "contact_ids": contact_ids,
        "entry_keys": list(entry_keys),
        "re_entry": re_entry,
        "ended_before": ended_before,
        "by_email": by_email,
        "by_sms": by_sms,
        "now": now,
    }
    return {row[0]: row[1] for row in queries.tuples(connection, "enroll_contacts", **params)}


def spread(
    connection: Connection,
    campaign_id: UUID,
    contact_ids: Sequence[UUID],
    *,
    spread_seconds: float,
    now: datetime,
) -> int:
    """Spread the due times of people among these who were let in at `now`; how many."""
    return queries.run(
        connection,
        "spread_new_states",
        campaign_id=campaign_id,
        contact_ids=contact_ids,
        spread_seconds=spread_seconds,
        now=now,
    )
