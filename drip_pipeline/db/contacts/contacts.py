"""Queries of contact imports: stage the rows of a file by COPY, and merge them into `contacts` in
chunks of lines. Changes that campaigns make to contacts belong to db/execution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg import sql

from drip_pipeline.db import queries
from drip_pipeline.db.bulk_copy import copy_between, copy_rows
from drip_pipeline.db.connection import Connection


class StagedContact(NamedTuple):
    """A row of `imported_contacts`; `custom_fields` is JSON text, None is an empty cell.

    `is_unsubscribed` refuses all channels, `email_refusal` is the reason to suppress the address
    for email, `sms_refusals` the numbers that refuse SMS (without a number: the contact's).
    """

    line_number: int
    email: str
    name: str | None
    company: str | None
    phone: str | None
    job_title: str | None
    ai_score: int | None
    status: str | None
    tags: list[str] | None
    custom_fields: str
    last_interaction: datetime | None
    is_unsubscribed: bool
    email_refusal: str | None = None
    sms_refusals: list[str] | None = None


class RejectedCell(NamedTuple):
    """A cell of an accepted row that could not be read. `cell` is the beginning of its text,
    `address` that of the row's contact."""

    line_number: int
    column_name: str
    reason: str
    cell: str
    address: str | None = None


class MergeCounts(NamedTuple):
    """The numbers of new, changed, unchanged, and newly unsubscribed contacts.

    `refused` are the lines that a unique key or a trigger of the table kept out.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    unsubscribed: int = 0
    refused: Sequence[int] = ()

    def plus(self, other: MergeCounts) -> MergeCounts:
        """Return the sums, and the refused lines of both."""
        return MergeCounts(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.unsubscribed + other.unsubscribed,
            [*self.refused, *other.refused],
        )


def stage(connection: Connection, rows: Iterable[StagedContact]) -> int:
    """Load rows into a temporary table of this transaction. Return their number."""
    queries.run(connection, "create_imported_contacts")
    count = copy_rows(connection, "imported_contacts", StagedContact._fields, rows)
    queries.run(connection, "analyze_imported_contacts")
    return count


def stage_again(
    staging: Connection, connection: Connection, *, first_line: int, last_line: int
) -> None:
    """Copy the staged rows of these lines from one transaction to another."""
    queries.run(connection, "create_imported_contacts")
    copy_between(
        staging,
        connection,
        "imported_contacts",
        where=sql.SQL("line_number BETWEEN {} AND {}").format(first_line, last_line),
    )
    queries.run(connection, "analyze_imported_contacts")


def lift_time_limits(staging: Connection) -> None:
    """Let the transaction of the staged rows wait for the transactions beside it."""
    queries.run(staging, "lift_time_limits_of_staging")


def take_out_repeated(connection: Connection) -> list[int]:
    """Take out all staged rows of an address but the last. Return their lines.

    The kept row refuses messages if one of them does.
    """
    queries.run(connection, "merge_repeated_refusals")
    return queries.column(connection, "take_out_repeated_contacts")


def merge(
    connection: Connection,
    workspace_id: UUID,
    *,
    first_line: int,
    last_line: int,
    now: datetime,
) -> MergeCounts:
    """Merge the staged rows of these lines into the workspace's contacts."""
    (counts,) = queries.records(
        connection,
        "merge_imported_contacts",
        MergeCounts,
        workspace_id=workspace_id,
        first_line=first_line,
        last_line=last_line,
        now=now,
    )
    return counts


def suppress_staged(
    connection: Connection,
    workspace_id: UUID,
    *,
    first_line: int,
    last_line: int,
    now: datetime,
) -> int:
    """Suppress the addresses of the staged rows of these lines that refuse messages, whether the
    rows became contacts or not. Return the number of new entries."""
    return int(
        queries.scalar(
            connection,
            "suppress_imported_contacts",
            workspace_id=workspace_id,
            first_line=first_line,
            last_line=last_line,
            now=now,
        )
    )


def count_staged(connection: Connection, *, first_line: int, last_line: int) -> int:
    """Return the number of staged rows of these lines."""
    return int(
        queries.scalar(
            connection, "imported_contacts_between", first_line=first_line, last_line=last_line
        )
    )


def first_staged(connection: Connection, *, first_line: int, last_line: int) -> int:
    """Return the first of these lines that has a staged row. There must be one."""
    return int(
        queries.scalar(
            connection, "first_imported_contact", first_line=first_line, last_line=last_line
        )
    )


def delete_rejected(connection: Connection, workspace_id: UUID, source: str) -> int:
    """Delete the rejected lines and cells of an earlier import of this file. Return the number of
    lines.
    """
    queries.run(connection, "delete_rejected_cells", workspace_id=workspace_id, source=source)
    return queries.run(
        connection, "delete_rejected_contacts", workspace_id=workspace_id, source=source
    )


def store_rejected(
    connection: Connection,
    workspace_id: UUID,
    rows: Sequence[tuple[int, str]],
    *,
    source: str,
    now: datetime,
) -> int:
    """Store rejected lines as (line number, reason). Return the number of new ones."""
    return queries.run(
        connection,
        "store_rejected_contacts",
        workspace_id=workspace_id,
        source=source,
        line_numbers=[line for line, _ in rows],
        reasons=[reason for _, reason in rows],
        now=now,
    )


def store_rejected_cells(
    connection: Connection,
    workspace_id: UUID,
    cells: Sequence[RejectedCell],
    *,
    source: str,
    now: datetime,
) -> int:
    """Store cells that could not be read. Return the number of new ones."""
    if not cells:
        return 0
    return queries.run(
        connection,
        "store_rejected_cells",
        workspace_id=workspace_id,
        source=source,
        line_numbers=[cell.line_number for cell in cells],
        column_names=[cell.column_name for cell in cells],
        reasons=[cell.reason for cell in cells],
        cells=[cell.cell for cell in cells],
        addresses=[cell.address for cell in cells],
        now=now,
    )
