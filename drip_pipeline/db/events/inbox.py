"""Queries of the inbox: payloads received over HTTP, the receiver's request counts, and the stored
answers of trigger webhook calls. Parsing of payloads belongs to engine/events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json

InboxStatus: TypeAlias = Literal["pending", "done", "rejected"]


class Arrival(NamedTuple):
    """A request to store: the body as received, and the context that is needed to parse it."""

    provider: str
    payload: bytes
    received_at: datetime
    context: Mapping[str, object] = {}


class InboxRow(NamedTuple):
    """A claimed payload."""

    id: int
    provider: str
    payload: bytes
    context: Mapping[str, Any]
    received_at: datetime
    attempts: int


class InboxResult(NamedTuple):
    """The result of a claimed payload. `due_at` is the next attempt of a pending one."""

    id: int
    status: InboxStatus
    reason: str | None = None
    due_at: datetime | None = None


class InboxBacklog(NamedTuple):
    """The number of due payloads, up to the limit of the count, and when the oldest arrived."""

    due_rows: int
    oldest_at: datetime | None


class InboxStatusCount(NamedTuple):
    """The number of payloads of one provider and status."""

    provider: str
    status: InboxStatus
    rows: int
    oldest_at: datetime
    newest_at: datetime


class RejectedPayload(NamedTuple):
    """A rejected payload without its content. `bytes` is its size."""

    id: int
    provider: str
    received_at: datetime
    attempts: int
    reason: str | None
    bytes: int


class RequestCount(NamedTuple):
    """How often an endpoint gave an outcome."""

    endpoint: str
    outcome: str
    requests: int


class MessageRecipient(NamedTuple):
    """The contact that received a message. `channel` is email or sms.

    `phone` as written and its `region`, the country of numbers without a country code, are those of
    an SMS.
    """

    contact_id: UUID
    channel: str
    is_unsubscribed: bool
    phone: str | None
    region: str | None


class TriggerCall(NamedTuple):
    """An earlier call of a trigger webhook: the SHA-256 of its body (hex), and the answer."""

    body_hash: str
    answer: dict[str, Any]


def append(connection: Connection, arrivals: Sequence[Arrival]) -> int:
    """Append payloads to the inbox. Return their number."""
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
    """Lock the next due payloads until the transaction ends, at most `most_bytes` and one more."""
    return queries.records(
        connection,
        "claim_inbox",
        InboxRow,
        now=now,
        batch_size=batch_size,
        most_bytes=most_bytes,
    )


def settle(connection: Connection, results: Sequence[InboxResult], *, now: datetime) -> int:
    """Store the results of claimed payloads. Return the number of rows updated."""
    return queries.run(
        connection,
        "settle_inbox",
        ids=[result.id for result in results],
        statuses=[result.status for result in results],
        reasons=[result.reason for result in results],
        due=[result.due_at for result in results],
        now=now,
    )


def backlog(connection: Connection, *, now: datetime, count_limit: int) -> InboxBacklog:
    """Count the due payloads, up to `count_limit`."""
    (row,) = queries.records(
        connection, "describe_pending_inbox", InboxBacklog, now=now, count_limit=count_limit
    )
    return row


def count_by_status(connection: Connection) -> list[InboxStatusCount]:
    """Count payloads by provider and status."""
    return queries.records(connection, "inbox_by_status", InboxStatusCount)


def rejected(connection: Connection, provider: str | None, row_limit: int) -> list[RejectedPayload]:
    """Return rejected payloads, of one provider or of all, newest first."""
    return queries.records(
        connection, "inbox_rejected", RejectedPayload, provider=provider, row_limit=row_limit
    )


def retry(
    connection: Connection, *, ids: Sequence[int] | None, provider: str | None, now: datetime
) -> int:
    """Make rejected payloads due again: these, or all of the provider. Return their number."""
    id_list = list(ids) if ids is not None else None
    return queries.run(connection, "retry_inbox", ids=id_list, provider=provider, now=now)


def discard(connection: Connection, ids: Sequence[int], *, now: datetime) -> list[int]:
    """Settle pending and rejected payloads without importing them. Return their ids.

    Waits for a drain that processes one of them.
    """
    return queries.column(connection, "discard_inbox", ids=list(ids), now=now)


def prune(connection: Connection, before: datetime) -> int:
    """Delete payloads that were done before this time. Return their number."""
    return queries.run(connection, "prune_inbox", before=before)


def add_request_counts(
    connection: Connection, counts: Mapping[tuple[str, str], int], *, day: date
) -> None:
    """Add numbers of requests, by (endpoint, outcome), to the counts of a day."""
    queries.run(
        connection,
        "add_receiver_counts",
        day=day,
        endpoints=[endpoint for endpoint, _ in counts],
        outcomes=[outcome for _, outcome in counts],
        requests=list(counts.values()),
    )


def request_counts_since(connection: Connection, since: date) -> list[RequestCount]:
    """Return the numbers of requests since a day, by endpoint and outcome."""
    return queries.records(connection, "receiver_counts_since", RequestCount, since=since)


def recipient_of(connection: Connection, delivery_id: UUID) -> MessageRecipient | None:
    """Return the recipient of a message, None if there is no such message."""
    return queries.record(connection, "recipient_of_delivery", MessageRecipient, id=delivery_id)


def unsubscribe(
    connection: Connection, delivery_id: UUID, *, number: str | None, source: str, now: datetime
) -> int:
    """Suppress the recipient of a message on its channel. Return the number of new entries.

    `number` is the phone number in E.164 form, for an SMS.
    """
    return int(
        queries.scalar(
            connection,
            "unsubscribe_recipient",
            id=delivery_id,
            number=number,
            source=source,
            now=now,
        )
    )


def left_at(connection: Connection, delivery_id: UUID) -> str:
    """Return since when the recipient of a message is on the suppression list of its channel, as
    text; empty if it is not."""
    text: str | None = queries.scalar(connection, "recipient_left_at", id=delivery_id)
    return text or ""


def earlier_call(connection: Connection, campaign_id: UUID, call_key: str) -> TriggerCall | None:
    """Return the earlier call with this key; wait for one that is still in progress."""
    queries.run(connection, "lock_trigger_call", campaign_id=str(campaign_id), call_key=call_key)
    return queries.record(
        connection, "trigger_call", TriggerCall, campaign_id=campaign_id, call_key=call_key
    )


def save_call(
    connection: Connection,
    campaign_id: UUID,
    call_key: str,
    call: TriggerCall,
    *,
    workspace_id: UUID,
    now: datetime,
) -> None:
    """Store a call with its answer, for repeated calls with the same key."""
    queries.run(
        connection,
        "save_trigger_call",
        campaign_id=campaign_id,
        call_key=call_key,
        workspace_id=workspace_id,
        body_hash=call.body_hash,
        answer=call.answer,
        now=now,
    )
