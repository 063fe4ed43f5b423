"""Archive and delete rows by age: months of the event log, and chunks of other tables.

When rows may go, and the files they are written to, belong to engine/operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.error_translation import translated_errors

DELETED_BY_AGE: Final = {
    "recorded_messages": "drop_old_recorded_messages",
    "ingested_event_keys": "drop_old_event_keys",
    "rejected_events": "drop_old_rejected_events",
    "rejected_contacts": "drop_old_rejected_contacts",
    "rejected_cells": "drop_old_rejected_cells",
    "campaign_batches": "drop_old_batches",
    "operator_actions": "drop_old_operator_actions",
}
"""Tables whose rows are deleted by age alone, and the query of each."""


class EventMonth(NamedTuple):
    """A month of the event log; `about_rows` is the planner's estimate."""

    month: date
    about_rows: int
    bytes: int


class UnfinishedArchive(NamedTuple):
    """A month that is detached from the event log and not yet archived."""

    id: int
    month: date
    table_name: str


class ContactEvent(NamedTuple):
    """A row of contact_events."""

    id: UUID
    workspace_id: UUID
    contact_id: UUID
    event_type: str
    value: Decimal | None
    currency: str | None
    event_data: Mapping[str, object]
    occurred_at: datetime
    recorded_at: datetime


class DroppedDeliveries(NamedTuple):
    """The last id of a chunk of the outbox (None at the end), and its old rows."""

    last_id: UUID | None
    rows_old: int


class OldRows(NamedTuple):
    """Rows that are old enough to delete, by table."""

    contact_events: int
    recorded_messages: int
    ingested_event_keys: int
    rejected_events: int
    rejected_contacts: int
    rejected_cells: int
    campaign_batches: int
    operator_actions: int


def needed_from(connection: Connection) -> datetime | None:
    """Return the time since which events are still needed, or None if none are."""
    needed: datetime | None = queries.scalar(connection, "events_needed_from")
    return needed


def event_months(connection: Connection, before: datetime) -> list[EventMonth]:
    """Return the months of the event log that end at `before` or earlier, oldest first."""
    return queries.records(connection, "event_months", EventMonth, before=before)


def detach_month(
    connection: Connection, month: date, *, now: datetime, lock_milliseconds: int
) -> None:
    """Detach a month from the event log.

    Raises Conflict or StatementCancelled if the lock takes longer than `lock_milliseconds`.
    """
    queries.run(connection, "set_lock_timeout", milliseconds=str(lock_milliseconds))
    queries.run(connection, "detach_event_month", month=month, now=now)


def unfinished_archives(connection: Connection) -> list[UnfinishedArchive]:
    """Return the months that are detached and not yet archived."""
    return queries.records(connection, "unfinished_archives", UnfinishedArchive)


def lock_archive(connection: Connection, archive_id: int) -> bool:
    """Lock an unfinished archive. Return False if another process has it, or it is finished."""
    return queries.scalar(connection, "lock_archive", archive_id=archive_id) is not None


def rows_of_month(
    connection: Connection, table_name: str, chunk_size: int
) -> Iterator[list[dict[str, object]]]:
    """Stream the rows of a detached month in chunks, as dictionaries by column name."""
    with (
        translated_errors(),
        connection.cursor(name="archived_month", row_factory=dict_row) as cursor,
    ):
        cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table_name)))
        while rows := cursor.fetchmany(chunk_size):
            yield rows


def finish_archive(
    connection: Connection, archive_id: int, *, file: str, rows: int, now: datetime
) -> None:
    """Drop the table of a month whose file is written and was read back."""
    queries.run(
        connection,
        "finish_archive",
        archive_id=archive_id,
        file=file,
        rows_archived=rows,
        now=now,
    )


def take_contact_events(
    connection: Connection, before: datetime, chunk_size: int
) -> list[ContactEvent]:
    """Delete and return a chunk of contact events that occurred before `before`."""
    return queries.records(
        connection, "take_contact_events", ContactEvent, before=before, chunk_size=chunk_size
    )


def store_contact_archive(
    connection: Connection, *, month: date, file: str, rows: int, now: datetime
) -> None:
    """Record the file of a chunk of contact events."""
    queries.run(
        connection,
        "store_contact_archive",
        month=month,
        file=file,
        rows_archived=rows,
        now=now,
    )


def watermarks(connection: Connection) -> dict[str, datetime]:
    """Return the time since which `log` and `deliveries` are complete.

    A kind from which nothing was removed is missing.
    """
    return dict(queries.tuples(connection, "retention_watermarks"))


def raise_watermark(connection: Connection, kind: str, kept_from: datetime) -> None:
    """Record that a kind of data is complete only since `kept_from`."""
    queries.run(connection, "raise_retention_watermark", kind=kind, kept_from=kept_from)


def drop_deliveries(
    connection: Connection,
    *,
    after: UUID | None,
    before: datetime,
    chunk_size: int,
    is_dry: bool = False,
) -> DroppedDeliveries:
    """Delete the old rows of one chunk of the outbox; with `is_dry` only count them."""
    dropped = queries.record(
        connection,
        "drop_old_deliveries",
        DroppedDeliveries,
        after=after,
        before=before,
        chunk_size=chunk_size,
        is_dry=is_dry,
    )
    assert dropped is not None
    return dropped


def drop_chunk(connection: Connection, table: str, *, before: datetime, chunk_size: int) -> int:
    """Delete a chunk of a table of DELETED_BY_AGE. Return the number of rows."""
    return queries.run(connection, DELETED_BY_AGE[table], before=before, chunk_size=chunk_size)


def old_rows(
    connection: Connection,
    *,
    log_before: datetime,
    deliveries_before: datetime,
    diagnostics_before: datetime,
    audit_before: datetime,
) -> OldRows:
    """Count the rows that are old enough to delete."""
    rows = queries.record(
        connection,
        "old_rows",
        OldRows,
        log_before=log_before,
        deliveries_before=deliveries_before,
        diagnostics_before=diagnostics_before,
        audit_before=audit_before,
    )
    assert rows is not None
    return rows
