"""The inbox of what arrives over HTTP: appending to it, claiming and settling rows of it, and how
often the receiver answered how. What the rows mean is read in engine/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json


class Arrival(NamedTuple):
    """A request that is worth keeping: the body as it came, and what else is needed to read it."""

    provider: str
    payload: bytes
    received_at: datetime
    context: Mapping[str, Any] = {}


class InboxRow(NamedTuple):
    """A row that is to be read."""

    row_id: int
    provider: str
    payload: bytes
    context: Mapping[str, Any]
    received_at: datetime
    attempts: int


class Settled(NamedTuple):
    """What became of a row: done, rejected for a reason, or pending until `due_at`."""

    row_id: int
    status: str
    reason: str | None = None
    due_at: datetime | None = None


def append(connection: Connection, arrivals: Sequence[Arrival]) -> int:
    """Put these into the inbox; how many."""
    return queries.run(
        connection,
        "append_to_inbox",
        providers=[arrival.provider for arrival in arrivals],
        payloads=[arrival.payload for arrival in arrivals],
        contexts=[dump_json(dict(arrival.context)).decode() for arrival in arrivals],
        received=[arrival.received_at for arrival in arrivals],
    )


def claim(
    connection: Connection, *, now: datetime, batch_size: int, most_bytes: int
) -> list[InboxRow]:
    """The next due rows, locked until the transaction ends."""
    found = queries.tuples(
        connection, "claim_inbox", now=now, batch_size=batch_size, most_bytes=most_bytes
    )
    return [InboxRow(row[0], row[1], bytes(row[2]), row[3], row[4], row[5]) for row in found]


def settle(connection: Connection, settled: Sequence[Settled], *, now: datetime) -> int:
    """Write down what became of claimed rows."""
    return queries.run(
        connection,
        "settle_inbox",
        ids=[row.row_id for row in settled],
        statuses=[row.status for row in settled],
        reasons=[row.reason for row in settled],
        due=[row.due_at for row in settled],
        now=now,
    )


def ahead(
    connection: Connection, *, now: datetime, count_limit: int
) -> tuple[int, datetime | None]:
    """How many rows are due (up to a limit), and since when the oldest waits."""
    ((due_rows, oldest_at),) = queries.tuples(
        connection, "describe_pending_inbox", now=now, count_limit=count_limit
    )
    return due_rows, oldest_at


def by_status(connection: Connection) -> list[dict[str, Any]]:
    """provider, status, rows, oldest_at, newest_at."""
    return queries.rows(connection, "inbox_by_status")


def rejected(connection: Connection, provider: str | None, row_limit: int) -> list[dict[str, Any]]:
    """id, provider, received_at, attempts, reason, bytes of what could not be taken."""
    return queries.rows(connection, "inbox_rejected", provider=provider, row_limit=row_limit)


def retry(
    connection: Connection, *, ids: Sequence[int] | None, provider: str | None, now: datetime
) -> int:
    """What could not be taken is due again (these rows, or all); how many."""
    listed = list(ids) if ids is not None else None
    return queries.run(connection, "retry_inbox", ids=listed, provider=provider, now=now)


def prune(connection: Connection, before: datetime) -> int:
    """Remove rows that were taken before this time; how many."""
    return queries.run(connection, "prune_inbox", before=before)


def add_counts(connection: Connection, counts: Mapping[tuple[str, str], int], *, day: date) -> None:
    """Add to how often (endpoint, outcome) happened on a day."""
    queries.run(
        connection,
        "add_receiver_counts",
        day=day,
        endpoints=[endpoint for endpoint, _ in counts],
        outcomes=[outcome for _, outcome in counts],
        requests=list(counts.values()),
    )


def counts_since(connection: Connection, since: date) -> list[dict[str, Any]]:
    """endpoint, outcome, requests since a day."""
    return queries.rows(connection, "receiver_counts_since", since=since)


def recipient(connection: Connection, delivery_id: UUID) -> dict[str, Any] | None:
    """contact_id, channel (email or sms), is_unsubscribed of a message; None if there is none."""
    return queries.one(connection, "recipient_of_delivery", id=delivery_id)


def earlier_call(
    connection: Connection, campaign_id: UUID, call_key: str
) -> tuple[str, dict[str, Any]] | None:
    """(hash of the body, answer) of a call of this key, waiting for one that is under way."""
    queries.run(connection, "lock_trigger_call", campaign_id=str(campaign_id), call_key=call_key)
    found = queries.one(connection, "trigger_call", campaign_id=campaign_id, call_key=call_key)
    return None if found is None else (found["body_hash"], found["answer"])


def keep_call(
    connection: Connection,
    campaign_id: UUID,
    call_key: str,
    *,
    workspace_id: UUID,
    body_hash: str,
    answer: Mapping[str, Any],
    now: datetime,
) -> None:
    """Keep the answer of a call."""
    queries.run(
        connection,
        "keep_trigger_call",
        campaign_id=campaign_id,
        call_key=call_key,
        workspace_id=workspace_id,
        body_hash=body_hash,
        answer=dict(answer),
        now=now,
    )
