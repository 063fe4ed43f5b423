"""The outbox: leasing with the last gate, marking, settling, and what the recorder keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.copying import copy_rows

RECORDED_COLUMNS = (
    "delivery_id",
    "workspace_id",
    "campaign_id",
    "enrollment_id",
    "node_id",
    "channel",
    "recipient",
    "subject",
    "preheader",
    "body",
    "body_html",
    "payload",
    "recorded_at",
)


def lease(
    connection: Connection, *, channel: str, batch_size: int, now: datetime
) -> list[dict[str, Any]]:
    """Lock due deliveries of a channel with the contact's columns and the gate's verdict (`gate`,
    None = may go out)."""
    return queries.rows(
        connection, "lease_deliveries", channel=channel, batch_size=batch_size, now=now
    )


def mark_sending(
    connection: Connection, ids: Sequence[UUID], *, lease_token: UUID, leased_until: datetime
) -> int:
    """Mark leased deliveries as going out; from here on they are in doubt if the process dies."""
    return queries.run(
        connection, "mark_sending", ids=ids, lease_token=lease_token, leased_until=leased_until
    )


def hold(connection: Connection, ids: Sequence[UUID], due_at: datetime) -> int:
    """Look at these again later."""
    return queries.run(connection, "hold_deliveries", ids=ids, due_at=due_at)


def settle_sent(
    connection: Connection,
    ids: Sequence[UUID],
    provider_ids: Sequence[str | None],
    *,
    event_type: str,
    certainty: str,
    batch_id: UUID,
    now: datetime,
) -> list[UUID]:
    """Settle as sent, with event and outcome row; the ids that were open until now."""
    return [
        row[0]
        for row in queries.tuples(
            connection,
            "settle_sent",
            ids=ids,
            provider_ids=provider_ids,
            event_type=event_type,
            certainty=certainty,
            batch_id=batch_id,
            now=now,
        )
    ]


def settle_not_sent(
    connection: Connection,
    rows: Sequence[tuple[UUID, str, str | None, str | None, str]],
    *,
    channel: str,
    batch_id: UUID,
    now: datetime,
) -> list[UUID]:
    """Settle as skipped or failed; rows are (id, status, reason, error, event type)."""
    return [
        row[0]
        for row in queries.tuples(
            connection,
            "settle_not_sent",
            ids=[row[0] for row in rows],
            statuses=[row[1] for row in rows],
            error_codes=[row[2] for row in rows],
            errors=[row[3] for row in rows],
            event_types=[row[4] for row in rows],
            channel=channel,
            batch_id=batch_id,
            now=now,
        )
    ]


def reschedule(
    connection: Connection,
    rows: Sequence[tuple[UUID, datetime, str | None, str | None]],
    now: datetime,
) -> int:
    """Back to due later; rows are (id, due time, reason, error)."""
    return queries.run(
        connection,
        "reschedule_deliveries",
        ids=[row[0] for row in rows],
        due_at=[row[1] for row in rows],
        error_codes=[row[2] for row in rows],
        errors=[row[3] for row in rows],
        now=now,
    )


def mark_unknown(
    connection: Connection, rows: Sequence[tuple[UUID, str | None]], grace_until: datetime
) -> int:
    """In doubt until the grace time is over; rows are (id, error)."""
    return queries.run(
        connection,
        "mark_unknown",
        ids=[row[0] for row in rows],
        errors=[row[1] for row in rows],
        grace_until=grace_until,
    )


def rescue_expired(connection: Connection, *, grace_seconds: float, now: datetime) -> int:
    """Deliveries whose sender died become unknown; how many."""
    return queries.run(connection, "rescue_expired_leases", grace_seconds=grace_seconds, now=now)


def past_grace(connection: Connection, *, batch_size: int, now: datetime) -> list[dict[str, Any]]:
    """Unknown deliveries whose grace time is over, locked: id, enrollment_id, channel."""
    return queries.rows(connection, "deliveries_past_grace", batch_size=batch_size, now=now)


def due_channels(connection: Connection, now: datetime) -> list[str]:
    """Channels with due deliveries."""
    return sorted(row[0] for row in queries.tuples(connection, "due_channels", now=now))


def by_status(connection: Connection) -> list[dict[str, Any]]:
    """Deliveries per channel and status."""
    return queries.rows(connection, "deliveries_by_status")


def record(connection: Connection, rows: Iterable[tuple[Any, ...]]) -> int:
    """Keep messages that are recorded and not sent; columns as RECORDED_COLUMNS."""
    return copy_rows(connection, "recorded_messages", RECORDED_COLUMNS, rows)


def suppress(
    connection: Connection,
    rows: Sequence[tuple[UUID, str]],
    *,
    channel: str,
    source: str,
    now: datetime,
) -> int:
    """Put contacts on the suppression list of a channel; rows are (contact id, reason)."""
    return queries.run(
        connection,
        "suppress_contacts",
        contact_ids=[row[0] for row in rows],
        reasons=[row[1] for row in rows],
        channel=channel,
        source=source,
        now=now,
    )
