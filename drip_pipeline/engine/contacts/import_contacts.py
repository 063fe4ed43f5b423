"""Import contacts from a file: streamed, staged by COPY, merged set-based in chunks.

Rejected lines are stored with the reason. A repeated import updates the contacts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database, savepoint
from drip_pipeline.db.contacts import contacts as contacts_db
from drip_pipeline.db.contacts.contacts import MergeCounts, StagedContact
from drip_pipeline.engine.campaigns.workspaces import workspace_named
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.contacts.column_mapping import ColumnPlan, plan_columns
from drip_pipeline.engine.contacts.file_formats import ContactFile, open_contact_file
from drip_pipeline.engine.contacts.row_parser import RowReader, kinds_of
from drip_pipeline.engine.progress import Progress

CHUNK_LINES: Final = 20_000
"""Lines merged in one transaction."""
_REPORTED_EVERY: Final = 20_000
_SHOWN_REJECTIONS: Final = 10


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The result of an import: rows = inserted + updated + unchanged + all rejected.

    `unsubscribed` counts new suppression list entries. `first_rejected` are the first rejected
    lines as (line, reason); all of them are in rejected_contacts.
    """

    source: str
    workspace_id: UUID
    rows: int
    inserted: int
    updated: int
    unchanged: int
    rejected: Mapping[str, int]
    unsubscribed: int
    fields: Mapping[str, str]
    custom_fields: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    first_rejected: tuple[tuple[int, str], ...] = ()


@dataclass
class _ReadProgress:
    """The rows read so far, and the rejected ones."""

    rows: int = 0
    last_line: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)


def import_contacts(
    database: Database,
    path: Path,
    *,
    now: datetime,
    workspace: str | None = None,
    renames: Mapping[str, str] | None = None,
    email_template: str | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Import a CSV or Parquet file into a workspace, which is created if missing.

    `renames` maps columns of the file to fields; for `email_template` see column_mapping. Raises
    ImportFileError for errors of the file as a whole, NotAllowed for an ambiguous workspace.
    """
    file = open_contact_file(path)
    plan = plan_columns(file, renames or {}, email_template)
    kinds = kinds_of(file, plan)
    reader = RowReader(plan, kinds, is_typed=file.is_typed)
    read = _ReadProgress()
    with database.transaction() as connection:
        workspace_id = workspace_named(connection, workspace)
    # A connection of its own: the staged rows live as long as it does.
    with database.autocommit() as connection:
        contacts_db.stage(connection, _staged(file, reader, read, progress))
        rejected = Counter(reason for _, reason in read.rejected)
        with savepoint(connection):
            contacts_db.delete_rejected(connection, workspace_id, path.name)
            contacts_db.store_rejected(
                connection, workspace_id, read.rejected, source=path.name, now=now
            )
            repeated = contacts_db.reject_repeated(
                connection, workspace_id, source=path.name, now=now
            )
        if repeated:
            rejected["repeated_email"] = repeated
        merged = _merge(connection, workspace_id, read.last_line, now, progress)
    return ImportReport(
        source=path.name,
        workspace_id=workspace_id,
        rows=read.rows,
        inserted=merged.inserted,
        updated=merged.updated,
        unchanged=merged.unchanged,
        rejected=dict(rejected.most_common()),
        unsubscribed=merged.unsubscribed,
        fields=_fields(file, plan),
        custom_fields={name: kinds.get(name, "as in the file") for name in plan.custom},
        warnings=plan.warnings,
        first_rejected=tuple(read.rejected[:_SHOWN_REJECTIONS]),
    )


def _staged(
    file: ContactFile, reader: RowReader, read: _ReadProgress, progress: Progress | None
) -> Iterator[StagedContact]:
    for row, (line, cells) in enumerate(file.lines(), start=1):
        contact = cells if isinstance(cells, str) else reader.read(line, row, cells)
        if isinstance(contact, str):
            read.rejected.append((line, contact))
        else:
            yield contact
        read.rows, read.last_line = row, line
        if progress and row % _REPORTED_EVERY == 0:
            progress(f"{row:,} rows read")


def _merge(
    connection: Connection,
    workspace_id: UUID,
    last_line: int,
    now: datetime,
    progress: Progress | None,
) -> MergeCounts:
    merged = MergeCounts()
    for first in range(1, last_line + 1, CHUNK_LINES):
        merged += _merge_chunk(connection, workspace_id, first, now)
        if progress:
            done = merged.inserted + merged.updated + merged.unchanged
            progress(f"{done:,} contacts written")
    return merged


def _merge_chunk(
    connection: Connection, workspace_id: UUID, first: int, now: datetime
) -> MergeCounts:
    """Merge one chunk in one transaction; retry on a conflict with a concurrent writer."""

    def transaction() -> MergeCounts:
        with savepoint(connection):
            return contacts_db.merge(
                connection,
                workspace_id,
                first_line=first,
                last_line=first + CHUNK_LINES - 1,
                now=now,
            )

    return retry_on_conflict(transaction)


def _fields(file: ContactFile, plan: ColumnPlan) -> dict[str, str]:
    return {name: file.columns[index] for name, index in plan.fields.items()}
