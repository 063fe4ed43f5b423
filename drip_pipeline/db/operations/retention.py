"""Data by age: what is still needed, months taken off the log, slices deleted. What is written to
files, and when anything may go, is the engine's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection
from drip_pipeline.db.error_translation import translated_errors

SLICED: Final = {
    "recorded_messages": "drop_old_recorded_messages",
    "ingested_event_keys": "drop_old_event_keys",
    "rejected_events": "drop_old_rejected_events",
    "rejected_contacts": "drop_old_rejected_contacts",
    "campaign_batches": "drop_old_batches",
}
"""Tables that are deleted from by age alone, and the query of each."""


def needed_from(connection: Connection) -> datetime | None:
    """From when on events are still needed; None when nothing needs any."""
    found: datetime | None = queries.scalar(connection, "events_needed_from")
    return found


def event_months(connection: Connection, before: datetime) -> list[dict[str, Any]]:
    """Months of the log that end by then: month, about_rows, bytes."""
    return queries.rows(connection, "event_months", before=before)


def detach_month(
    connection: Connection, month: date, *, now: datetime, lock_milliseconds: int
) -> str | None:
    """Take a month off the log; its table's name. Raises when others use the log for longer than
    that.
    """
    queries.run(connection, "set_lock_timeout", milliseconds=str(lock_milliseconds))
    found: str | None = queries.scalar(connection, "detach_event_month", month=month, now=now)
    return found


def unfinished_archives(connection: Connection) -> list[dict[str, Any]]:
    """Months that were taken off and are not written: id, month, table_name."""
    return queries.rows(connection, "unfinished_archives")


def lock_archive(connection: Connection, archive_id: int) -> bool:
    """Be the one who writes this month; False while another is, or when it is done."""
    return queries.scalar(connection, "lock_archive", archive_id=archive_id) is not None


def rows_of_month(
    connection: Connection, table_name: str, chunk: int
) -> Iterator[list[dict[str, Any]]]:
    """A detached month's events, streamed."""
    with (
        translated_errors(),
        connection.cursor(name="archived_month", row_factory=dict_row) as cursor,
    ):
        cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table_name)))
        while rows := cursor.fetchmany(chunk):
            yield rows


def finish_archive(
    connection: Connection, archive_id: int, *, file: str, rows: int, now: datetime
) -> None:
    """Drop a month that is written and was read back."""
    queries.run(
        connection,
        "finish_archive",
        archive_id=archive_id,
        file=file,
        rows_archived=rows,
        now=now,
    )


def take_contact_events(
    connection: Connection, before: datetime, slice_size: int
) -> list[dict[str, Any]]:
    """Take a slice of contact events out."""
    return queries.rows(connection, "take_contact_events", before=before, slice_size=slice_size)


def note_contact_archive(
    connection: Connection, *, month: date, file: str, rows: int, now: datetime
) -> None:
    """Write down where a slice of contact events is."""
    archive_id = queries.scalar(connection, "begin_contact_archive", month=month, now=now)
    queries.run(
        connection, "note_contact_archive", archive_id=archive_id, file=file, rows_archived=rows
    )


def horizons(connection: Connection) -> dict[str, datetime]:
    """From when on `log` and `deliveries` are whole; a kind that is whole is missing."""
    return dict(queries.tuples(connection, "retention_watermarks"))


def raise_retention_watermark(connection: Connection, kind: str, kept_from: datetime) -> None:
    """Write down from when on a kind is whole."""
    queries.run(connection, "raise_retention_watermark", kind=kind, kept_from=kept_from)


def drop_deliveries(
    connection: Connection,
    *,
    after: UUID | None,
    before: datetime,
    slice_size: int,
    is_dry: bool = False,
) -> tuple[UUID | None, int]:
    """Delete what is old in a slice of the outbox; (its last id, rows that went or would)."""
    ((last_id, rows),) = queries.tuples(
        connection,
        "drop_old_deliveries",
        after=after,
        before=before,
        slice_size=slice_size,
        is_dry=is_dry,
    )
    return last_id, rows


def drop_slice(connection: Connection, table: str, *, before: datetime, slice_size: int) -> int:
    """Delete a slice of one of SLICED; how many."""
    return queries.run(connection, SLICED[table], before=before, slice_size=slice_size)


def old_rows(
    connection: Connection,
    *,
    log_before: datetime,
    deliveries_before: datetime,
    traces_before: datetime,
) -> dict[str, int]:
    """Rows that are old enough, by table."""
    found = queries.one(
        connection,
        "old_rows",
        log_before=log_before,
        deliveries_before=deliveries_before,
        traces_before=traces_before,
    )
    return found or {}
