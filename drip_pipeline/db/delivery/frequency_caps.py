"""Queries of frequency caps: what contacts were sent, and reserving a place under every cap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import uuids
from drip_pipeline.db.connection import Connection


class CappedMessage(NamedTuple):
    """A message that caps may hold. `zone_no` is the number of its contact's time zone."""

    id: UUID
    contact_id: UUID
    priority: int
    zone_no: int = 0


class PeriodOfZone(NamedTuple):
    """A cap in a time zone: messages after `after` count, `most` of them are allowed."""

    rule_no: int
    zone_no: int
    most: int
    after: datetime
    counts_email: bool
    counts_sms: bool


class Refusal(NamedTuple):
    """A cap that does not allow a message now.

    If it is full, `oldest` is when the message was counted that has to leave the period first.
    Otherwise messages with a higher priority are due, which would fill it.
    """

    id: UUID
    rule_no: int
    is_full: bool
    oldest: datetime | None
    queued_at: datetime


class MessageNode(NamedTuple):
    """A node of a campaign version that sends messages."""

    campaign_id: UUID
    campaign_version: int
    node_id: str


def lock_contacts(connection: Connection, messages: Sequence[CappedMessage]) -> set[UUID]:
    """Lock the contacts of these messages until the transaction ends, and store the messages'
    priorities. Return the contacts that were locked; those that others hold are left out."""
    return {
        row[0]
        for row in queries.many(
            connection,
            "lock_capped_contacts",
            ids=uuids([each.id for each in messages]),
            contact_ids=uuids([each.contact_id for each in messages]),
            priorities=[each.priority for each in messages],
        )
    }


def reserve(
    connection: Connection,
    messages: Sequence[CappedMessage],
    periods: Sequence[PeriodOfZone],
    *,
    workspace_id: UUID,
    channel: str,
    due_by: datetime,
    now: datetime,
) -> list[Refusal]:
    """Reserve the messages that all caps of the workspace allow; return the refusals of the others.

    Their contacts must be locked by an earlier statement of the transaction. Messages that are due
    by `due_by` are those that may go first.
    """
    return queries.many_records(
        connection,
        "reserve_capped_messages",
        Refusal,
        ids=uuids([each.id for each in messages]),
        contact_ids=uuids([each.contact_id for each in messages]),
        priorities=[each.priority for each in messages],
        zone_nos=[each.zone_no for each in messages],
        most=len(messages),
        rule_nos=[each.rule_no for each in periods],
        rule_zones=[each.zone_no for each in periods],
        limits=[each.most for each in periods],
        afters=[each.after for each in periods],
        count_emails=[each.counts_email for each in periods],
        count_sms=[each.counts_sms for each in periods],
        workspace_id=workspace_id,
        channel=channel,
        due_by=due_by,
        now=now,
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
