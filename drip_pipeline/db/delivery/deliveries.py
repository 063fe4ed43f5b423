"""Queries of the outbox table `campaign_deliveries`: due counts, lease, settlement, recovery.

Posts shared by all recipients are in broadcasts.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.binary_arrays import texts, unless_empty, uuids
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.db.unreadable import Unreadable

JsonObject = Mapping[str, object]


class DueGroup(NamedTuple):
    """The due deliveries of one node of a campaign version; `due` is counted up to a limit."""

    campaign_id: UUID
    campaign_version: int
    node_id: str
    workspace_id: UUID
    channel: str
    due: int


class Quota(NamedTuple):
    """How many deliveries of a group to lease.

    With `blocked_reason`, all of them are leased as ineligible for that reason. `needs_consent`
    makes contacts ineligible that have not given consent.
    """

    group: DueGroup
    limit: int
    blocked_reason: str | None = None
    needs_consent: bool = False


class LeasedDelivery(NamedTuple):
    """A locked due delivery with the contact's columns; the type from lease to settlement.

    `blocked_reason` says why it must not be sent, None when it may. `caps` is the sum of the
    fingerprints of the workspaces' frequency caps, None without any. `personalization_data` (of the
    enrollment; None if empty), `workflow_variables` (of its state; None if empty) and contact
    columns are None if no message of the batch reads them.
    A tuple because a batch has thousands.
    """

    id: UUID
    workspace_id: UUID
    campaign_id: UUID
    campaign_version: int
    enrollment_id: UUID
    contact_id: UUID
    node_id: str
    step_id: UUID | None
    attempts: int
    due_at: datetime
    blocked_reason: str | None
    caps: int | None
    personalization_data: JsonObject | None
    workflow_variables: JsonObject | None
    name: str | None
    email: str | None
    company: str | None
    phone: str | None
    job_title: str | None
    ai_score: int | None
    status: str | None
    tags: Sequence[str] | None
    custom_fields: JsonObject | None
    last_interaction: datetime | None
    created_at: datetime | None
    updated_at: datetime | None

    def contact(self) -> dict[str, object]:
        """Return the contact's columns by name, `id` and `workspace_id` included."""
        contact: dict[str, object] = dict(zip(CONTACT_COLUMNS, self[_FIRST_CONTACT:], strict=True))
        contact["id"] = self.contact_id
        contact["workspace_id"] = self.workspace_id
        return contact


class LeasedRows(NamedTuple):
    """Leased deliveries, and by id the contact's values that Python cannot hold, which are None in
    the rows."""

    rows: list[LeasedDelivery]
    unreadable: Mapping[UUID, Sequence[Unreadable]]


_FIRST_CONTACT: Final = LeasedDelivery._fields.index("name")
CONTACT_COLUMNS: Final = LeasedDelivery._fields[_FIRST_CONTACT:]


class ParkedState(NamedTuple):
    """A locked workflow state that waits for a delivery; the first columns are `DueState`'s."""

    id: UUID
    campaign_id: UUID
    campaign_version: int
    contact_id: UUID
    current_node_id: str
    resume_port: str | None
    retry_count: int
    max_retries: int
    steps_taken: int
    enrollment_status: str
    delivery_id: UUID
    campaign_status: str


_DELIVERY_ID: Final = ParkedState._fields.index("delivery_id")


class SentDeliveries(NamedTuple):
    """Deliveries that were settled as sent: the states that waited for them, locked, and the ids
    of deliveries whose state ended or moved on before."""

    parked: list[ParkedState]
    without_state: list[UUID]


class SentEvent(NamedTuple):
    """What the events of deliveries settled as sent have in common."""

    event_type: str
    certainty: str
    batch_id: UUID


class NotSent(NamedTuple):
    """A delivery that will not be sent (skipped or failed).

    `attempt` is the attempt that the result belongs to, None for any. `details` are stored in the
    event.
    """

    id: UUID
    status: str
    error_code: str | None
    error: str | None
    event_type: str
    attempt: int | None = None
    details: JsonObject | None = None


class Retry(NamedTuple):
    """A delivery that is sent again at `due_at`."""

    id: UUID
    due_at: datetime
    error_code: str | None
    error: str | None
    attempt: int | None = None
    details: JsonObject | None = None


class Recorded(NamedTuple):
    """A message that is stored in recorded_messages and not sent."""

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
    payload: JsonObject | None


def due_groups(
    connection: Connection, *, channel: str | None, count_limit: int, now: datetime
) -> list[DueGroup]:
    """Return the groups of active campaigns with due deliveries of a channel, or of any channel."""
    return queries.records(
        connection, "due_groups", DueGroup, channel=channel, count_limit=count_limit, now=now
    )


def due_channels(connection: Connection, now: datetime) -> list[str]:
    """Return the channels with due deliveries, sorted."""
    groups = due_groups(connection, channel=None, count_limit=1, now=now)
    return sorted({group.channel for group in groups})


def lease(
    connection: Connection,
    quotas: Sequence[Quota],
    *,
    columns: Collection[str],
    channel: str,
    now: datetime,
) -> LeasedRows:
    """Lock due deliveries up to these quotas and check their eligibility.

    `columns` are the contact's columns to read, `personalization_data` and `workflow_variables`;
    the others are None.
    """
    rows, has_unreadable = queries.readable_records(
        connection,
        "lease_deliveries",
        LeasedDelivery,
        campaign_ids=[quota.group.campaign_id for quota in quotas],
        versions=[quota.group.campaign_version for quota in quotas],
        node_ids=[quota.group.node_id for quota in quotas],
        quotas=[quota.limit for quota in quotas],
        workspace_ids=list({quota.group.workspace_id for quota in quotas}),
        most=sum(quota.limit for quota in quotas),
        blocked_reasons=[quota.blocked_reason for quota in quotas],
        needs_consent=[quota.needs_consent for quota in quotas],
        columns=sorted(columns),
        channel=channel,
        now=now,
    )
    if not has_unreadable:
        return LeasedRows(rows, {})
    unreadable = {row.id: [value for value in row if isinstance(value, Unreadable)] for row in rows}
    unreadable = {delivery_id: values for delivery_id, values in unreadable.items() if values}
    return LeasedRows(
        [
            LeasedDelivery._make(None if isinstance(v, Unreadable) else v for v in row)
            for row in rows
        ],
        unreadable,
    )


def postpone(connection: Connection, ids: Sequence[UUID], due_at: datetime) -> int:
    """Postpone these pending deliveries to `due_at`."""
    return queries.run(connection, "postpone_deliveries", ids=ids, due_at=due_at)


def lock_parked_states(
    connection: Connection, delivery_ids: Sequence[UUID], enrollment_ids: Sequence[UUID]
) -> list[ParkedState]:
    """Lock the states that wait for these deliveries; states that ended are left out."""
    return queries.many_records(
        connection,
        "lock_states_of_deliveries",
        ParkedState,
        delivery_ids=uuids(delivery_ids),
        enrollment_ids=uuids(enrollment_ids),
    )


def settle_sent(
    connection: Connection,
    ids: Sequence[UUID],
    provider_ids: Sequence[str | None],
    *,
    details: Sequence[JsonObject | None],
    event: SentEvent,
    now: datetime,
) -> SentDeliveries:
    """Settle deliveries as sent, with their events and outcome rows.

    Deliveries that were already settled are left out of the result.
    """
    rows = queries.many(
        connection,
        "settle_sent",
        ids=uuids(ids),
        provider_ids=texts(unless_empty(provider_ids)),
        details=texts(unless_empty([_json(each) for each in details])),
        event_type=event.event_type,
        certainty=event.certainty,
        batch_id=event.batch_id,
        now=now,
    )
    return SentDeliveries(
        [ParkedState._make(row) for row in rows if row[0] is not None],
        [row[_DELIVERY_ID] for row in rows if row[0] is None],
    )


def record_last_email(connection: Connection, enrollment_ids: Sequence[UUID], now: datetime) -> int:
    """Store `now` as the time of the last email of these enrollments."""
    return queries.run(connection, "record_last_email", enrollment_ids=enrollment_ids, now=now)


def settle_not_sent(
    connection: Connection,
    rows: Sequence[NotSent],
    *,
    channel: str,
    batch_id: UUID,
    now: datetime,
) -> list[UUID]:
    """Settle deliveries as skipped or failed; return the ids that were not settled before."""
    return queries.column(
        connection,
        "settle_not_sent",
        channel=channel,
        batch_id=batch_id,
        now=now,
        **queries.columns(NotSent, rows) | {"details": [_json(row.details) for row in rows]},
    )


def reschedule(connection: Connection, rows: Sequence[Retry], now: datetime) -> int:
    """Make deliveries due again later; return how many."""
    return queries.run(
        connection,
        "reschedule_deliveries",
        now=now,
        **queries.columns(Retry, rows) | {"details": [_json(row.details) for row in rows]},
    )


def record(connection: Connection, rows: Sequence[Recorded], *, channel: str, now: datetime) -> int:
    """Store messages of a channel that are recorded and not sent."""
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


class ContactPhone(NamedTuple):
    """A contact's phone number as written; `region` is the country of a national number."""

    id: UUID
    phone: str
    region: str | None


def suppress(
    connection: Connection,
    contacts: Sequence[tuple[UUID, str]],
    *,
    channel: str,
    source: str,
    now: datetime,
    numbers: Sequence[str | None] | None = None,
) -> int:
    """Put contacts, as (contact id, reason), on the suppression list of a channel.

    `numbers` are their phone numbers in E.164 form, for the channel sms; contacts without an
    address of the channel are left out. Return the number of new entries.
    """
    return queries.run(
        connection,
        "suppress_contacts",
        contact_ids=[contact_id for contact_id, _ in contacts],
        reasons=[reason for _, reason in contacts],
        numbers=numbers or [None] * len(contacts),
        channel=channel,
        source=source,
        now=now,
    )


def phones_of(connection: Connection, contact_ids: Sequence[UUID]) -> list[ContactPhone]:
    """Return the phone numbers of contacts as written."""
    return queries.records(
        connection, "phones_of_contacts", ContactPhone, contact_ids=list(contact_ids)
    )


def _json(value: JsonObject | None) -> str | None:
    return dump_json(dict(value)).decode() if value else None
