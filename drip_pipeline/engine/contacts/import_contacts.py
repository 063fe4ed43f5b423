"""Importing people from a file: read as a stream, staged by COPY, merged set-based a slice at a
time. Bad lines are kept aside with their reason and the rest goes on. Repeating it updates.
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
    """What an import did: rows = inserted + updated + unchanged + all rejected.

    `unsubscribed`: people newly put on the suppression list. `first_rejected`: (line, reason) of
    the first ones; all of them stand in rejected_contacts.
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
class _Reading:
    """What is known while a file is read."""

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
    """Import a CSV or Parquet file into a workspace (made if it is missing).

    `renames`: column of the file → field; `email_template`: see contact_columns. Raises
    ImportFileError for what is wrong with the file as a whole, NotAllowed for an unclear workspace.
    """
    file = open_contact_file(path)
    plan = plan_columns(file, renames or {}, email_template)
    kinds = kinds_of(file, plan)
    reader = RowReader(plan, kinds, is_typed=file.is_typed)
    reading = _Reading()
    with database.transaction() as connection:
        workspace_id = workspace_named(connection, workspace)
    # A connection of its own: the staged rows live as long as it does.
    with database.autocommit() as connection:
        contacts_db.stage(connection, _staged(file, reader, reading, progress))
        rejected = Counter(reason for _, reason in reading.rejected)
        with savepoint(connection):
            contacts_db.forget_rejected(connection, workspace_id, path.name)
            contacts_db.keep_rejected(
                connection, workspace_id, reading.rejected, source=path.name, now=now
            )
            repeated = contacts_db.set_aside_repeated(
                connection, workspace_id, source=path.name, now=now
            )
        if repeated:
            rejected["repeated_email"] = repeated
        merged = _merge(connection, workspace_id, reading.last_line, now, progress)
    return ImportReport(
        source=path.name,
        workspace_id=workspace_id,
        rows=reading.rows,
        inserted=merged.inserted,
        updated=merged.updated,
        unchanged=merged.unchanged,
        rejected=dict(rejected.most_common()),
        unsubscribed=merged.unsubscribed,
        fields=_fields(file, plan),
        custom_fields={name: kinds.get(name, "as in the file") for name in plan.custom},
        warnings=plan.warnings,
        first_rejected=tuple(reading.rejected[:_SHOWN_REJECTIONS]),
    )


def _staged(
    file: ContactFile, reader: RowReader, reading: _Reading, progress: Progress | None
) -> Iterator[contacts_db.StagedContact]:
    for row, (line, cells) in enumerate(file.lines(), start=1):
        found = cells if isinstance(cells, str) else reader.read(line, row, cells)
        if isinstance(found, str):
            reading.rejected.append((line, found))
        else:
            yield found
        reading.rows, reading.last_line = row, line
        if progress and row % _REPORTED_EVERY == 0:
            progress(f"{row:,} rows read")


def _merge(
    connection: Connection,
    workspace_id: UUID,
    last_line: int,
    now: datetime,
    progress: Progress | None,
) -> contacts_db.Merged:
    merged = contacts_db.Merged()
    for first in range(1, last_line + 1, CHUNK_LINES):
        merged += _slice(connection, workspace_id, first, now)
        if progress:
            done = merged.inserted + merged.updated + merged.unchanged
            progress(f"{done:,} people written")
    return merged


def _slice(
    connection: Connection, workspace_id: UUID, first: int, now: datetime
) -> contacts_db.Merged:
    """Merge one chunk in one transaction; retry on a conflict with a concurrent writer."""

    def transaction() -> contacts_db.Merged:
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
