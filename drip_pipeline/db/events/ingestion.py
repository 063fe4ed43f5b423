"""Queries of event ingestion: stage a chunk of events, resolve recipients, log, and apply effects.

All functions work on the temporary tables that `stage` creates in the caller's transaction; each is
one statement. Parsing of event lines belongs to engine/events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from psycopg import sql

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.error_translation import translated_errors

# The first class key of the advisory locks: the first bytes of sha256('drip_pipeline.ingest').
LOCK_KEY: Final = 0x5B4D_F414
INGESTION_PARTITIONS: Final = 2
"""All events of a message belong to one partition; one transaction at a time writes a partition."""
ALL_PARTITIONS: Final = tuple(range(INGESTION_PARTITIONS))
KEYS_TABLE: Final = "ingested_event_keys"
_COPY: Final = sql.SQL("COPY staged_events FROM STDIN (NULL '')")

DUPLICATE: Final = "duplicate"
NO_SUCH_MESSAGE: Final = "no such message"

IdentifiedBy: TypeAlias = Literal["message", "provider_id", "campaign", "address"]
"""How an event names its recipient: by our message id, by the provider's message id, by an address
with a campaign, or by an address alone.
"""


class StagedEvent(NamedTuple):
    """A valid event line, from the parser to the COPY.

    `event_key` is unique per provider and event id, `partition` the ingestion partition,
    `copy_text` the row of `staged_events` in COPY's text format.
    """

    line_number: int
    event_key: str
    identified_by: IdentifiedBy
    partition: int
    copy_text: str


class RejectedLine(NamedTuple):
    """A line that is not ingested. `reason` is DUPLICATE for an event that is already stored."""

    line_number: int
    reason: str


class UnresolvedEvent(NamedTuple):
    """An event that names its message and is not ingested, with the message it names."""

    line_number: int
    reason: str
    message_id: UUID | None


class ReportedDelivery(NamedTuple):
    """A delivery that an event names and that has no recorded outcome."""

    id: UUID
    enrollment_id: UUID
    channel: str
    status: str


class RejectionCount(NamedTuple):
    """The number of rejected lines of one source and reason."""

    source: str
    reason: str
    lines: int
    latest_at: datetime


class StoredLine(NamedTuple):
    """A rejected line with its raw text. `provider` is None for lines stored by older versions."""

    id: int
    source: str
    provider: str | None
    workspace_id: UUID | None
    raw: str | None


class ContactToSuppress(NamedTuple):
    """A contact to put on the suppression list of a channel."""

    contact_id: UUID
    channel: str
    reason: str


class ResolvedRefusal(NamedTuple):
    """A line that forbids to write to its recipient, and the number of contacts with its address;
    more than one if it concerns several workspaces.
    """

    line_number: int
    contacts: int


class AffectedStates(NamedTuple):
    """The numbers of locked states, and of those among them whose wait judges events one by one;
    whether any goal does, and whether any ends runs; and whether any exit rule names events."""

    states: int
    matched_waits: int
    has_narrowed_goals: bool
    has_goals_that_exit: bool
    has_exits: bool


class StateToExit(NamedTuple):
    """An open workflow state that an event ends: the columns of a claimed state, and `cause`, the
    reason of the suppression.
    """

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
    cause: str


def copy_line(fields: Sequence[str]) -> str:
    """Return a row in COPY's text format; an empty field is NULL.

    Hand-written because up to a million rows a minute pass here, and few need escaping.
    """
    line = "\t".join(fields)
    if "\\" in line or "\n" in line or "\r" in line or line.count("\t") >= len(fields):
        line = "\t".join(_escaped(field) for field in fields)
    return line


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def lock(connection: Connection, partitions: Iterable[int]) -> None:
    """Lock ingestion partitions until the transaction ends; wait for the transactions on them."""
    for partition in sorted(partitions):
        queries.run(connection, "lock_ingestion", lock_key=LOCK_KEY, partition=partition)


def stage(connection: Connection, events: Iterable[StagedEvent]) -> None:
    """Create the temporary tables of a chunk and load its events."""
    queries.run(connection, "create_staging")
    queries.run(connection, "create_arrivals")
    lines = [event.copy_text for event in events]
    lines.append("")
    with translated_errors(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write("\n".join(lines))
    queries.run(connection, "limit_statistics_sample")
    queries.run(connection, "analyze_staging")


def workspaces(connection: Connection, name: str | None) -> list[UUID]:
    """Return the ids of workspaces with that name or id; without one, of all but the demo's.

    At most two.
    """
    return queries.column(connection, "workspaces_for_events", name=name)


# --- resolve recipients ---------------------------------------------------------------------------


def resolve_provider_refs(connection: Connection) -> None:
    """Set the message ids of events that name a message by the provider's id."""
    queries.run(connection, "resolve_provider_refs")


def resolve_by_message(
    connection: Connection, workspace_id: UUID | None, lines: Sequence[int] | None = None
) -> list[UnresolvedEvent]:
    """Resolve events that name a message, of these lines or of all. Return the unresolved ones."""
    return queries.records(
        connection, "resolve_by_message", UnresolvedEvent, workspace_id=workspace_id, lines=lines
    )


def lock_reported_deliveries(
    connection: Connection, workspace_id: UUID | None, ids: Sequence[UUID]
) -> list[ReportedDelivery]:
    """Lock these deliveries until the transaction ends."""
    return queries.records(
        connection,
        "lock_reported_deliveries",
        ReportedDelivery,
        workspace_id=workspace_id,
        ids=ids,
    )


def resolve_by_campaign(
    connection: Connection, workspace_id: UUID | None, tolerance: timedelta
) -> list[RejectedLine]:
    """Resolve events that name an address and a campaign. Return the unresolved ones."""
    return queries.records(
        connection,
        "resolve_by_campaign",
        RejectedLine,
        workspace_id=workspace_id,
        tolerance=tolerance,
    )


def resolve_by_address(connection: Connection, workspace_id: UUID | None) -> list[RejectedLine]:
    """Resolve events that name an address only. Return the unresolved ones."""
    return queries.records(
        connection, "resolve_by_address", RejectedLine, workspace_id=workspace_id
    )


def suppress_refused_addresses(
    connection: Connection,
    lines: Sequence[int],
    workspace_id: UUID | None,
    *,
    source: str,
    now: datetime,
) -> int:
    """Suppress the addresses of these lines that forbid to write to their recipients, in this
    workspace or in all. Return the number of new entries.
    """
    return queries.run(
        connection,
        "suppress_refused_addresses",
        lines=list(lines),
        workspace_id=workspace_id,
        source=source,
        now=now,
    )


def resolve_refusals(
    connection: Connection, lines: Sequence[int], workspace_id: UUID | None, *, now: datetime
) -> list[ResolvedRefusal]:
    """Resolve these lines by their addresses alone if they forbid to write to their recipients, in
    this workspace or in all. Return the resolved ones.
    """
    return queries.records(
        connection,
        "resolve_refusals",
        ResolvedRefusal,
        lines=list(lines),
        workspace_id=workspace_id,
        now=now,
    )


def months_of_arrivals(connection: Connection) -> dict[str, bool]:
    """Return the months of the resolved events (2026-03, UTC): whether the log has a partition."""
    return dict(queries.tuples(connection, "months_of_arrivals"))


# --- log ------------------------------------------------------------------------------------------


def insert_keys(connection: Connection, now: datetime) -> int:
    """Store the keys of the resolved events, which makes repetitions duplicates. Return their
    number.
    """
    return queries.run(connection, "insert_event_keys", now=now)


def log(connection: Connection, now: datetime) -> None:
    """Insert the resolved events into the event log, or into the events of their contacts."""
    queries.run(connection, "log_arrivals")
    queries.run(connection, "log_contact_arrivals", now=now)


def store_rejected(
    connection: Connection,
    rows: Sequence[tuple[RejectedLine, str]],
    *,
    workspace_id: UUID | None,
    source: str,
    provider: str,
    now: datetime,
) -> None:
    """Store rejected lines, each with its raw text, in `rejected_events`."""
    queries.run(
        connection,
        "reject_events",
        workspace_id=workspace_id,
        source=source,
        provider=provider,
        line_numbers=[line.line_number for line, _ in rows],
        reasons=[line.reason for line, _ in rows],
        raws=[raw for _, raw in rows],
        now=now,
    )


def count_rejected(connection: Connection, source: str | None = None) -> list[RejectionCount]:
    """Count rejected lines by source and reason, of one source or of all."""
    return queries.records(connection, "count_rejected_events", RejectionCount, source=source)


def last_rejected(connection: Connection) -> int:
    """Return the id of the line rejected last, 0 if there is none."""
    return int(queries.scalar(connection, "last_rejected_event"))


def rejected_lines(
    connection: Connection,
    *,
    after: int,
    last_id: int,
    source: str | None,
    reason: str | None,
    limit: int,
) -> list[StoredLine]:
    """Return the next rejected lines with an id in (after, last_id], in the order of ids."""
    return queries.records(
        connection,
        "rejected_events_to_retry",
        StoredLine,
        after=after,
        last_id=last_id,
        source=source,
        reason=reason,
        row_limit=limit,
    )


def settle_retried(
    connection: Connection,
    *,
    accepted: Sequence[int],
    rejected: Mapping[int, str],
    now: datetime,
) -> None:
    """Delete the accepted lines, and store the reason of those rejected again ({id: reason})."""
    queries.run(connection, "delete_rejected_events", ids=list(accepted))
    queries.run(
        connection,
        "reject_events_again",
        ids=list(rejected),
        reasons=list(rejected.values()),
        now=now,
    )


# --- effects --------------------------------------------------------------------------------------


def update_outcomes(connection: Connection) -> None:
    """Apply the resolved events to the message outcomes."""
    queries.run(connection, "update_message_outcomes")


def update_assignments(connection: Connection) -> None:
    """Apply conversions to the split assignments of their enrollments."""
    queries.run(connection, "update_split_assignments")


def lock_affected_states(connection: Connection) -> AffectedStates:
    """Lock the states that the events may resume or end, in the order of their ids.

    Waits for transactions that move them.
    """
    return queries.records(connection, "lock_affected_states", AffectedStates)[0]


def resume_waiting_states(connection: Connection, now: datetime, tolerance: timedelta) -> int:
    """Resume the states that wait for the resolved events. Return their number."""
    return queries.run(connection, "resume_waiting_states", now=now, tolerance=tolerance)


def contacts_to_suppress(connection: Connection) -> list[ContactToSuppress]:
    """Return the contacts that the resolved events forbid to write to, those with a soft
    bounce, and those that subscribed again.
    """
    return queries.records(connection, "contacts_to_suppress", ContactToSuppress)


def repeatedly_soft_bounced(
    connection: Connection, contact_ids: Sequence[UUID], *, threshold: int, time_span: timedelta
) -> list[UUID]:
    """Return those of these contacts with `threshold` soft bounces within the time span, without a
    delivery between them or after them.
    """
    return queries.column(
        connection,
        "repeatedly_soft_bounced",
        contact_ids=list(contact_ids),
        threshold=threshold,
        time_span=time_span,
    )


def readmit_contacts(connection: Connection, contacts: Sequence[tuple[UUID, str]]) -> int:
    """Lift the unsubscriptions of contacts, as (contact id, channel), that subscribed again later.

    Return the number of suppressions.
    """
    return int(
        queries.scalar(
            connection,
            "readmit_contacts",
            contact_ids=[contact_id for contact_id, _ in contacts],
            channels=[channel for _, channel in contacts],
        )
    )


def states_to_exit(connection: Connection) -> list[StateToExit]:
    """Return the open states that the resolved events end. An SMS opt-out ends none."""
    return queries.records(connection, "states_to_exit", StateToExit)
