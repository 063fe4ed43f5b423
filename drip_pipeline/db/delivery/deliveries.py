"""The outbox: what is due where, leasing with the last gate, marking, settling, and what the
recorder keeps. Posts for everybody stand in broadcasts.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import texts, unless_empty, uuids
from drip_pipeline.db.connection import Connection, dump_json


class Place(NamedTuple):
    """A node of a campaign version with due deliveries; `due` is counted up to a limit."""

    campaign_id: UUID
    campaign_version: int
    node_id: str
    workspace_id: UUID
    channel: str
    due: int


class Quota(NamedTuple):
    """How many deliveries of a place to take. With `blocked`, its reason holds them all back;
    `needs_consent` holds back who has not said yes."""

    place: Place
    most: int
    blocked: str | None = None
    needs_consent: bool = False


class NotSent(NamedTuple):
    """A delivery that will not go out. `attempt` is the attempt the verdict is about, None for any;
    `details` go into the event."""

    id: UUID
    status: str
    error_code: str | None
    error: str | None
    event_type: str
    attempt: int | None = None
    details: Mapping[str, Any] | None = None


class Later(NamedTuple):
    """A delivery to be tried again."""

    id: UUID
    due_at: datetime
    error_code: str | None
    error: str | None
    attempt: int | None = None
    details: Mapping[str, Any] | None = None


class Recorded(NamedTuple):
    """A message that is kept and not sent."""

    delivery_id: UUID
    workspace_id: UUID
    campaign_id: UUID
    enrollment_id: UUID
    node_id: str
    recipient: str
    subject: str | None
    preheader: str | None
    body: str | None
    body_html: str | None
    payload: Mapping[str, Any] | None


class InDoubt(NamedTuple):
    """A delivery whose fate is unknown."""

    id: UUID
    error_code: str | None
    error: str | None
    attempt: int | None = None


def due_places(
    connection: Connection, *, channel: str | None, count_limit: int, now: datetime
) -> list[Place]:
    """Places of active campaigns where deliveries of a channel (or of any) are due."""
    found = queries.tuples(
        connection, "due_places", channel=channel, count_limit=count_limit, now=now
    )
    return [Place(*row) for row in found]


def due_channels(connection: Connection, now: datetime) -> list[str]:
    """Channels with due deliveries."""
    return sorted(
        {place.channel for place in due_places(connection, channel=None, count_limit=1, now=now)}
    )


def lease(
    connection: Connection,
    quotas: Sequence[Quota],
    *,
    columns: Collection[str],
    channel: str,
    now: datetime,
) -> list[dict[str, Any]]:
    """Lock due deliveries of these places, with these columns of the contact (the others are None)
    and the gate's verdict (`gate`, None = may go out)."""
    return queries.many_rows(
        connection,
        "lease_deliveries",
        campaign_ids=[quota.place.campaign_id for quota in quotas],
        versions=[quota.place.campaign_version for quota in quotas],
        node_ids=[quota.place.node_id for quota in quotas],
        quotas=[quota.most for quota in quotas],
        most=sum(quota.most for quota in quotas),
        blocks=[quota.blocked for quota in quotas],
        needs_consent=[quota.needs_consent for quota in quotas],
        columns=sorted(columns),
        channel=channel,
        now=now,
    )


def mark_sending(
    connection: Connection,
    ids: Sequence[UUID],
    *,
    transport: str,
    channel_id: UUID | None,
    lease_token: UUID,
    leased_until: datetime,
    now: datetime,
) -> int:
    """Mark leased deliveries as going out; from here on they are in doubt if the process dies."""
    marked: int = queries.scalar(
        connection,
        "mark_sending",
        ids=ids,
        transport=transport,
        channel_id=channel_id,
        lease_token=lease_token,
        leased_until=leased_until,
        now=now,
    )
    return marked


def hold(connection: Connection, ids: Sequence[UUID], due_at: datetime) -> int:
    """Look at these again later."""
    return queries.run(connection, "hold_deliveries", ids=ids, due_at=due_at)


def settle_sent(
    connection: Connection,
    ids: Sequence[UUID],
    provider_ids: Sequence[str | None],
    *,
    details: Sequence[Mapping[str, Any] | None],
    event_type: str,
    certainty: str,
    batch_id: UUID,
    now: datetime,
) -> list[tuple[Any, ...]]:
    """Settle as sent, with event and outcome row. A row for each delivery that was open until now:
    the state parked on it, locked, in the columns of `lock_of_deliveries`; nulls but for the
    delivery's id where nobody waits for it any more."""
    return queries.many(
        connection,
        "settle_sent",
        ids=uuids(ids),
        provider_ids=texts(unless_empty(provider_ids)),
        details=texts(unless_empty([_json(each) for each in details])),
        event_type=event_type,
        certainty=certainty,
        batch_id=batch_id,
        now=now,
    )


def show_emailed(connection: Connection, enrollment_ids: Sequence[UUID], now: datetime) -> int:
    """Let enrollments show that they were written to."""
    return queries.run(connection, "show_emailed", enrollment_ids=enrollment_ids, now=now)


def settle_not_sent(
    connection: Connection,
    rows: Sequence[NotSent],
    *,
    channel: str,
    batch_id: UUID,
    now: datetime,
) -> list[UUID]:
    """Settle as skipped or failed; the ids that were open until now."""
    found = queries.tuples(
        connection,
        "settle_not_sent",
        ids=[row.id for row in rows],
        statuses=[row.status for row in rows],
        error_codes=[row.error_code for row in rows],
        errors=[row.error for row in rows],
        event_types=[row.event_type for row in rows],
        attempts=[row.attempt for row in rows],
        details=[_json(row.details) for row in rows],
        channel=channel,
        batch_id=batch_id,
        now=now,
    )
    return [row[0] for row in found]


def reschedule(connection: Connection, rows: Sequence[Later], now: datetime) -> int:
    """Back to due later; how many."""
    return queries.run(
        connection,
        "reschedule_deliveries",
        ids=[row.id for row in rows],
        due_at=[row.due_at for row in rows],
        error_codes=[row.error_code for row in rows],
        errors=[row.error for row in rows],
        attempts=[row.attempt for row in rows],
        details=[_json(row.details) for row in rows],
        now=now,
    )


def mark_unknown(
    connection: Connection, rows: Sequence[InDoubt], grace_until: datetime | None
) -> int:
    """In doubt until the grace time is over; without one, until somebody settles them."""
    return queries.run(
        connection,
        "mark_unknown",
        ids=[row.id for row in rows],
        error_codes=[row.error_code for row in rows],
        errors=[row.error for row in rows],
        attempts=[row.attempt for row in rows],
        grace_until=grace_until,
    )


def rescue_expired(
    connection: Connection, *, grace_seconds: float, now: datetime
) -> tuple[int, int]:
    """Deliveries whose sender died: (in doubt, due again since the provider recognizes them)."""
    ((in_doubt, retried),) = queries.tuples(
        connection, "rescue_expired_leases", grace_seconds=grace_seconds, now=now
    )
    return in_doubt, retried


def past_grace(connection: Connection, *, batch_size: int, now: datetime) -> list[dict[str, Any]]:
    """Unknown deliveries whose grace time is over, locked: id, enrollment_id, channel."""
    return queries.rows(connection, "deliveries_past_grace", batch_size=batch_size, now=now)


def lock_doubtful(
    connection: Connection,
    *,
    ids: Sequence[UUID] | None,
    campaign_id: UUID | None,
    channel: str | None,
    batch_size: int,
) -> list[dict[str, Any]]:
    """Deliveries in doubt, locked: id, enrollment_id, contact_id, channel, attempts."""
    return queries.rows(
        connection,
        "lock_doubtful_deliveries",
        ids=None if ids is None else list(ids),
        campaign_id=campaign_id,
        channel=channel,
        batch_size=batch_size,
    )


def listed(
    connection: Connection,
    *,
    status: str,
    campaign_id: UUID | None,
    channel: str | None,
    count_limit: int,
) -> list[dict[str, Any]]:
    """Deliveries of a status, latest first, without anybody's address."""
    return queries.rows(
        connection,
        "list_deliveries",
        status=status,
        campaign_id=campaign_id,
        channel=channel,
        count_limit=count_limit,
    )


def by_status(connection: Connection) -> list[dict[str, Any]]:
    """Deliveries per channel and status."""
    return queries.rows(connection, "deliveries_by_status")


def record(connection: Connection, rows: Sequence[Recorded], *, channel: str, now: datetime) -> int:
    """Keep messages of a channel that are recorded and not sent."""
    if not rows:
        return 0
    # Columns in one go, in the order of the fields.
    ids, workspaces, campaigns, enrollments, nodes, recipients, *contents = zip(*rows, strict=True)
    subjects, preheaders, bodies, html_bodies, payloads = contents
    return queries.run(
        connection,
        "record_messages",
        delivery_ids=uuids(ids),
        workspace_ids=uuids(workspaces),
        campaign_ids=uuids(campaigns),
        enrollment_ids=uuids(enrollments),
        node_ids=texts(nodes),
        recipients=texts(recipients),
        subjects=texts(unless_empty(subjects)),
        preheaders=texts(unless_empty(preheaders)),
        bodies=texts(unless_empty(bodies)),
        html_bodies=texts(unless_empty(html_bodies)),
        payloads=texts(unless_empty([_json(payload) for payload in payloads])),
        channel=channel,
        now=now,
    )


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


def _json(value: Mapping[str, Any] | None) -> str | None:
    return dump_json(dict(value)).decode() if value else None
