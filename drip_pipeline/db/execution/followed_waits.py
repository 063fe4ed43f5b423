"""Queries of waits that follow contacts: the queue of changed contacts, waits, new listeners."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection


class FollowedWork(NamedTuple):
    """Whether contacts are queued, and whether the waits of new versions are to be checked once."""

    has_queue: bool
    can_open: bool


class FollowedWait(NamedTuple):
    """A locked state in a wait that follows its contact, with the present end of the wait."""

    id: UUID
    campaign_id: UUID
    campaign_version: int
    contact_id: UUID
    current_node_id: str
    wait_until: datetime | None


def work(connection: Connection, now: datetime) -> FollowedWork:
    """Return whether there is anything to check."""
    pending = queries.record(connection, "followed_work", FollowedWork, now=now)
    assert pending is not None
    return pending


def begin_to_open(connection: Connection, now: datetime) -> None:
    """Record the transactions in progress for new listeners; they open when these have ended."""
    queries.run(connection, "begin_to_open_listeners", now=now)


def open_listeners(connection: Connection, now: datetime) -> int:
    """Open listeners, and queue the contacts in waits of their campaigns; return their number."""
    return queries.run(connection, "open_listeners", now=now)


def take_changed(connection: Connection, chunk_size: int) -> list[UUID]:
    """Delete the next contacts from the queue and return each once."""
    taken = queries.column(connection, "take_changed_contacts", chunk_size=chunk_size)
    return list(dict.fromkeys(taken))


def queue(connection: Connection, contact_ids: Collection[UUID]) -> None:
    """Queue contacts whose waits are to be checked (again)."""
    queries.run(connection, "queue_changed_contacts", contact_ids=uuids(list(contact_ids)))


def lock_of_contacts(connection: Connection, contact_ids: Sequence[UUID]) -> list[FollowedWait]:
    """Lock and return the waits of these contacts that follow them."""
    return queries.many_records(
        connection, "lock_followed_waits", FollowedWait, contact_ids=uuids(contact_ids)
    )


def of_version(connection: Connection, campaign_id: UUID, version: int) -> list[FollowedWait]:
    """Lock and return the waits of a version that follow their contacts."""
    return queries.many_records(
        connection,
        "followed_waits_of_version",
        FollowedWait,
        campaign_id=campaign_id,
        version=version,
    )


def move(
    connection: Connection,
    changes: Sequence[tuple[UUID, str | None, datetime | None]],
    now: datetime,
) -> None:
    """Let each of these locked waits leave by its port, or end at its time if it has no port."""
    queries.run(
        connection,
        "move_followed_waits",
        state_ids=uuids([state_id for state_id, _, _ in changes]),
        ports=[port for _, port, _ in changes],
        untils=[None if port is not None else until for _, port, until in changes],
        now=now,
    )


def share_contacts(connection: Connection, contact_ids: Collection[UUID]) -> set[UUID]:
    """Lock contacts against changes until the transaction ends; return those that somebody else
    is changing. Does not wait."""
    ids = list(contact_ids)
    locked = set(queries.column(connection, "share_contacts", contact_ids=uuids(ids)))
    left = [contact_id for contact_id in ids if contact_id not in locked]
    if not left:
        return set()
    return set(queries.column(connection, "existing_contacts", contact_ids=left))
