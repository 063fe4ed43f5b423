"""Import contacts from a file: streamed, staged by COPY, merged set-based in chunks.

Rejected lines and cells are stored with the reason. A repeated import updates the contacts. Nothing
is written before the whole file was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.contacts import contacts as contacts_db
from drip_pipeline.db.contacts import suppressions as suppressions_db
from drip_pipeline.db.contacts.contacts import MergeCounts, RejectedCell, StagedContact
from drip_pipeline.db.contacts.suppressions import Suppression
from drip_pipeline.domain.addresses import canonical_email
from drip_pipeline.engine.campaigns.workspaces import region_of, workspace_named
from drip_pipeline.engine.conflict_retry import retry_on_conflict
from drip_pipeline.engine.contacts.column_mapping import ColumnPlan, Renames, plan_columns
from drip_pipeline.engine.contacts.column_types import kinds_of
from drip_pipeline.engine.contacts.contact_file import ContactFile, LineCounts, RaggedRow
from drip_pipeline.engine.contacts.file_formats import open_contact_file
from drip_pipeline.engine.contacts.row_parser import RowReader
from drip_pipeline.engine.erased_addresses import ErasureKeys, restore_imported
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import ConstraintViolated, DatabaseError, DataRejected

CHUNK_LINES: Final = 20_000
"""Lines merged in one transaction."""
_REPORTED_EVERY: Final = 20_000
_SHOWN_REJECTIONS: Final = 10
_REFUSED_BY_TABLE: Final = "refused_by_database"
"""A key, a check or a trigger of the application's table did not take the row."""
_REPEATED: Final = "repeated_email"
_MOST_FAILED_ROWS: Final = 100
"""Rows of a file that may fail with an error; each costs some fifteen transactions."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The result of an import: rows = inserted + updated + unchanged + all rejected.

    `unsubscribed` counts new suppression list entries, `refusals` the rows that refuse messages, by
    column. `first_rejected` are the first rejected lines as (line, reason); all of them are in
    rejected_contacts. `set_aside` counts cells of accepted rows that could not be read, by column
    and reason; the first are (line, column, reason), all of them are in rejected_cells.
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
    refusals: Mapping[str, int] = field(default_factory=dict)
    set_aside: Mapping[str, int] = field(default_factory=dict)
    first_set_aside: tuple[tuple[int, str, str], ...] = ()
    line_counts: LineCounts | None = None

    @property
    def is_all_rejected(self) -> bool:
        """Whether the file has rows, and none of them became a contact."""
        return self.rows > 0 and not self.inserted + self.updated + self.unchanged


@dataclass
class _ReadProgress:
    """The rows read so far, and the rejected ones."""

    rows: int = 0
    last_line: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Target:
    """The workspace into which the file `source` is imported."""

    database: Database
    workspace_id: UUID
    source: str
    now: datetime
    keys: ErasureKeys | None = None

    @contextmanager
    def transaction(self, staging: Connection, lines: tuple[int, int]) -> Iterator[Connection]:
        """Yield a transaction that has the staged rows of these lines."""
        first, last = lines
        with self.database.transaction() as connection:
            contacts_db.stage_again(staging, connection, first_line=first, last_line=last)
            yield connection

    def store_refused(self, connection: Connection, lines: Sequence[int]) -> None:
        """Store lines that the table refused."""
        _store_rejected(
            connection, self.workspace_id, lines, _REFUSED_BY_TABLE, self.source, self.now
        )


def import_contacts(
    database: Database,
    path: Path,
    *,
    now: datetime,
    workspace: str | None = None,
    renames: Renames | None = None,
    types: Mapping[str, str] | None = None,
    email_template: str | None = None,
    keys: ErasureKeys | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Import a CSV or Parquet file into a workspace, which is created if missing.

    The path `-` is standard input. `renames` maps columns of the file to fields, `types` to types
    of column_types; for `email_template` see column_mapping. `keys`: addresses that were suppressed
    when they were erased are suppressed again at once; without keys, before a message. Raises
    ImportFileError for errors of the file as a whole, NotAllowed for an ambiguous workspace.
    """
    file = open_contact_file(path)
    plan = plan_columns(file, renames or {}, email_template, types)
    kinds = kinds_of(file, plan)
    with database.transaction(is_read_only=True) as connection:
        region = region_of(connection, workspace)
    reader = RowReader(plan, kinds, is_typed=file.is_typed, region=region)
    read = _ReadProgress()
    source = file.path.name
    # The transaction of the staged rows writes nothing else; the chunks are transactions beside it.
    with database.transaction() as staging:
        contacts_db.lift_time_limits(staging)
        contacts_db.stage(staging, _staged(file, reader, read, progress))
        rejected = Counter(reason for _, reason in read.rejected)
        repeated = contacts_db.take_out_repeated(staging)
        with database.transaction() as connection:
            workspace_id = workspace_named(connection, workspace)
            contacts_db.delete_rejected(connection, workspace_id, source)
            contacts_db.store_rejected(
                connection, workspace_id, read.rejected, source=source, now=now
            )
            contacts_db.store_rejected_cells(
                connection, workspace_id, reader.set_aside, source=source, now=now
            )
            _store_rejected(connection, workspace_id, repeated, _REPEATED, source, now)
        if repeated:
            rejected[_REPEATED] = len(repeated)
        target = _Target(database, workspace_id, source, now, keys)
        merged = _merge(target, staging, read.last_line, progress)
        suppressed = _suppress(target, reader.suppressions)
    if merged.refused:
        rejected[_REFUSED_BY_TABLE] = len(merged.refused)
        read.rejected += [(line, _REFUSED_BY_TABLE) for line in merged.refused]
    return ImportReport(
        source=source,
        workspace_id=workspace_id,
        rows=read.rows,
        inserted=merged.inserted,
        updated=merged.updated,
        unchanged=merged.unchanged,
        rejected=dict(rejected.most_common()),
        unsubscribed=merged.unsubscribed + suppressed,
        fields=_fields(file, plan),
        custom_fields={
            name: plan.types.get(name, str(kinds.get(name, "as in the file")))
            for name in plan.custom
        },
        warnings=(*plan.warnings, *_refusals_of_rejected(reader)),
        first_rejected=tuple(read.rejected[:_SHOWN_REJECTIONS]),
        refusals={
            file.columns[index]: reader.refusals.get(name, 0)
            for index, name in reader.consent_columns.items()
        },
        set_aside=_counted(reader.set_aside),
        first_set_aside=tuple(
            (cell.line_number, cell.column_name, cell.reason)
            for cell in reader.set_aside[:_SHOWN_REJECTIONS]
        ),
        line_counts=file.line_counts,
    )


def _suppress(target: _Target, rows: Sequence[Suppression]) -> int:
    """Suppress the addresses of rejected rows. Return the number of new entries."""
    added = 0
    for first in range(0, len(rows), CHUNK_LINES):
        chunk = rows[first : first + CHUNK_LINES]
        with target.database.transaction() as connection:
            added += suppressions_db.insert(connection, target.workspace_id, chunk, now=target.now)
    return added


def _refusals_of_rejected(reader: RowReader) -> Iterator[str]:
    addresses = {row.address for row in reader.suppressions}
    if addresses:
        yield (
            f"rejected rows refuse messages for {len(addresses):,} addresses, which are on the"
            " suppression list now"
        )


def _counted(cells: Sequence[RejectedCell]) -> dict[str, int]:
    counts = Counter(f"{cell.column_name}: {cell.reason}" for cell in cells)
    return dict(counts.most_common())


def _staged(
    file: ContactFile, reader: RowReader, read: _ReadProgress, progress: Progress | None
) -> Iterator[StagedContact]:
    for row, (line, cells) in enumerate(file.lines(), start=1):
        earlier_cells = len(reader.set_aside)
        contact = cells if isinstance(cells, str) else reader.read(line, row, cells)
        if isinstance(cells, RaggedRow):
            reader.keep_refusals(cells.cells, len(file.columns))
        if isinstance(contact, str):
            read.rejected.append((line, contact))
        else:
            if len(reader.set_aside) > earlier_cells:
                reader.name_owner(canonical_email(contact.email), earlier_cells)
            yield contact
        read.rows, read.last_line = row, line
        if progress and row % _REPORTED_EVERY == 0:
            progress(f"{row:,} rows read")


def _merge(
    target: _Target, staging: Connection, last_line: int, progress: Progress | None
) -> MergeCounts:
    merged = MergeCounts()
    failed: list[int] = []
    for first in range(1, last_line + 1, CHUNK_LINES):
        last = first + CHUNK_LINES - 1
        merged = merged.plus(_merge_lines(target, staging, (first, last), failed))
        if progress:
            done = merged.inserted + merged.updated + merged.unchanged
            progress(f"{done:,} contacts written")
    return merged


def _merge_lines(
    target: _Target, staging: Connection, lines: tuple[int, int], failed: list[int]
) -> MergeCounts:
    """Merge these lines in one transaction; retry on a conflict with a concurrent writer.

    If a check or a trigger of the table refuses a row with an error, the lines are halved until
    that row is alone; it is rejected, and the others are imported. Raises the error if there are
    many such rows in the file: then it is no matter of single rows.
    """
    first, last = lines

    def transaction() -> MergeCounts:
        with target.transaction(staging, lines) as connection:
            merged = contacts_db.merge(
                connection, target.workspace_id, first_line=first, last_line=last, now=target.now
            )
            target.store_refused(connection, merged.refused)
            restore_imported(
                connection, target.keys, target.workspace_id, first_line=first, last_line=last
            )
            return merged

    try:
        return retry_on_conflict(transaction)
    except DatabaseError as error:
        # DatabaseError itself is what a trigger raises.
        if type(error) not in (DatabaseError, ConstraintViolated, DataRejected):
            raise
        if len(failed) >= _MOST_FAILED_ROWS:
            raise
    staged = contacts_db.count_staged(staging, first_line=first, last_line=last)
    if staged > 1:
        middle = (first + last) // 2
        merged = MergeCounts()
        for half in ((first, middle), (middle + 1, last)):
            merged = merged.plus(_merge_lines(target, staging, half, failed))
        return merged
    line = contacts_db.first_staged(staging, first_line=first, last_line=last)
    failed.append(line)
    with target.transaction(staging, (line, line)) as connection:
        target.store_refused(connection, (line,))
        suppressed = contacts_db.suppress_staged(
            connection, target.workspace_id, first_line=line, last_line=line, now=target.now
        )
    return MergeCounts(unsubscribed=suppressed, refused=(line,))


def _store_rejected(
    connection: Connection,
    workspace_id: UUID,
    lines: Sequence[int],
    reason: str,
    source: str,
    now: datetime,
) -> None:
    if lines:
        rows = [(line, reason) for line in lines]
        contacts_db.store_rejected(connection, workspace_id, rows, source=source, now=now)


def _fields(file: ContactFile, plan: ColumnPlan) -> dict[str, str]:
    return {name: file.columns[index] for name, index in plan.fields.items()}
