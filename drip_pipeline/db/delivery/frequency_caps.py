"""Queries of frequency caps: what contacts were sent, and reserving a place under every cap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection

_MANY: Final = 200
"""With more contacts than this, planning takes less than a plan for any number of them would."""


class MessageOfContact(NamedTuple):
    """A message that counts for a contact since `counted_at`; or, with a priority, one that is due
    for it at that time."""

    contact_id: UUID
    id: UUID
    channel: str
    counted_at: datetime
    priority: int | None


class MessageNode(NamedTuple):
    """A node of a campaign version that sends messages."""

    campaign_id: UUID
    campaign_version: int
    node_id: str


def lock_contacts(connection: Connection, contact_ids: Sequence[UUID]) -> list[UUID]:
    """Lock contacts for counting until the transaction ends. Return those that were locked; those
    that others hold are left out."""
    if len(contact_ids) > _MANY:
        queries.scalar(connection, "plan_each_statement")
    return [
        row[0]
        for row in queries.many(connection, "lock_capped_contacts", contact_ids=uuids(contact_ids))
    ]


def messages_of(
    connection: Connection, contact_ids: Sequence[UUID], due_by: datetime
) -> list[MessageOfContact]:
    """Return what counts for these contacts, and the messages that are due for them by a time.

    The contacts must be locked by an earlier statement of the transaction.
    """
    return queries.many_records(
        connection,
        "messages_of_contacts",
        MessageOfContact,
        contact_ids=uuids(contact_ids),
        due_by=due_by,
    )


def not_sent(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Return those of these messages that were skipped or have failed."""
    return queries.column(connection, "messages_not_sent", ids=uuids(ids))


def reserve(
    connection: Connection,
    ids: Sequence[UUID],
    contact_ids: Sequence[UUID],
    *,
    workspace_id: UUID,
    channel: str,
    now: datetime,
) -> int:
    """Count messages of a workspace and channel, one contact for each, from `now` on."""
    return queries.run(
        connection,
        "reserve_messages",
        ids=uuids(ids),
        contact_ids=uuids(contact_ids),
        workspace_id=workspace_id,
        channel=channel,
        now=now,
    )


def store_priorities(connection: Connection, priorities: Mapping[UUID, int]) -> int:
    """Store the priorities of messages in the outbox."""
    return queries.run(
        connection,
        "store_cap_priorities",
        ids=uuids(list(priorities)),
        priorities=list(priorities.values()),
    )


def nodes(connection: Connection, workspace_id: UUID, since: datetime) -> list[MessageNode]:
    """Return the nodes whose messages were sent since a time or are in the outbox."""
    return queries.records(
        connection, "capped_nodes", MessageNode, workspace_id=workspace_id, since=since
    )


def mark(connection: Connection, priorities: Mapping[MessageNode, int]) -> int:
    """Store the priorities of the messages in the outbox of these nodes; return how many."""
    return queries.run(
        connection,
        "mark_capped_messages",
        **_columns(list(priorities)),
        priorities=list(priorities.values()),
    )


def unmark(connection: Connection, workspace_id: UUID) -> int:
    """Remove the priorities of all messages in the outbox of a workspace."""
    return queries.run(connection, "unmark_capped_messages", workspace_id=workspace_id)


def create_locks(connection: Connection, of: Sequence[MessageNode], since: datetime) -> int:
    """Create the locks of the contacts that messages of these nodes were sent to since a time."""
    return queries.run(connection, "create_cap_locks", **_columns(of), since=since)


def count_earlier(
    connection: Connection, of: Sequence[MessageNode], *, since: datetime, now: datetime
) -> int:
    """Count the messages of these nodes that were sent since a time; return how many are new. The
    locks of their contacts must exist."""
    return queries.run(connection, "count_earlier_sends", **_columns(of), since=since, now=now)


def writers(connection: Connection) -> set[str]:
    """Return the transactions of other sessions that are writing to the outbox."""
    return set(queries.column(connection, "transactions_in_outbox"))


def count_as_sent(connection: Connection, ids: Sequence[UUID], now: datetime) -> int:
    """Count messages of unknown outcome from `now` on, at which they are assumed to be sent."""
    return queries.run(connection, "count_as_sent_at", ids=list(ids), now=now)


def release(connection: Connection, ids: Sequence[UUID]) -> int:
    """Release the reservations of messages that were not sent; return how many."""
    return queries.run(connection, "release_reservations", ids=list(ids))


def configs(connection: Connection) -> list[Mapping[str, Any]]:
    """Return the caps of all workspaces as they are stored."""
    return queries.column(connection, "cap_rules")


def delete_old(connection: Connection, before: datetime, chunk_size: int) -> int:
    """Delete a chunk of the messages that were counted before a time; return how many."""
    return queries.run(connection, "delete_old_sends", before=before, chunk_size=chunk_size)


def _columns(of: Sequence[MessageNode]) -> dict[str, list[Any]]:
    return {
        "campaign_ids": [each.campaign_id for each in of],
        "versions": [each.campaign_version for each in of],
        "node_ids": [each.node_id for each in of],
    }
