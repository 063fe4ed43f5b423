"""Data by age: the event log archived to Parquet and taken off month by month, everything else
deleted in slices. Safe to repeat; whatever dies in the middle, the next run goes on there.

Never goes what is still needed: events since the oldest open run began, since the oldest running
test began, and of days that are to be counted. Figures stay: what they say of
messages that did not go out is kept when such a day is counted anew (`aggregate.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.enrollment import entry_triggers as triggers_db
from drip_pipeline.db.operations import retention as retention_db
from drip_pipeline.engine.operations.parquet_archive import (
    CAMPAIGN_EVENTS,
    CONTACT_EVENTS,
    write_archive,
)
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import Conflict, StatementCancelled
from drip_pipeline.settings.kinds import Retention

SLICE_ROWS: Final = 50_000
LOCK_MILLISECONDS: Final = 3_000
"""How long taking a month off may keep others waiting; then it is left to the next run."""
_TRACES: Final = ("rejected_events", "rejected_contacts", "campaign_batches")
_WITH_DELIVERIES: Final = ("recorded_messages", "ingested_event_keys")


@dataclass
class RetentionReport:
    """What went (in a dry run: what would). `archived` are files with their rows; `months_waiting`
    are old enough and still needed, or in use just then; `deleted` are rows by table.
    """

    is_dry_run: bool
    log_before: datetime | None = None
    needed_from: datetime | None = None
    archived: dict[str, int] = field(default_factory=dict)
    months: list[date] = field(default_factory=list)
    months_waiting: list[date] = field(default_factory=list)
    deleted: dict[str, int] = field(default_factory=dict)


def apply_retention(
    database: Database,
    retention: Retention,
    archive: Path,
    *,
    now: datetime,
    dry_run: bool = False,
    slice_size: int = SLICE_ROWS,
    progress: Progress | None = None,
) -> RetentionReport:
    """Archive and delete what is older than `retention` says; files go into the folder `archive`.

    Raises DripError when a file cannot be read back; its events are still there then.
    """
    run = _Run(database, archive, now, slice_size, progress or (lambda _: None), dry_run)
    run.begin(_before(now, retention.log))
    traces, deliveries = _before(now, retention.traces), _before(now, retention.deliveries)
    if dry_run:
        run.look(deliveries, traces)
        return run.report
    run.finish_archives()
    run.take_months_off()
    run.archive_contact_events()
    if deliveries is not None:
        run.drop_deliveries(deliveries)
    for tables, before in ((_WITH_DELIVERIES, deliveries), (_TRACES, traces)):
        if before is not None:
            for table in tables:
                run.drop(table, before)
    with database.transaction() as connection:
        run.report.deleted["campaign_entry_queue"] = triggers_db.delete_orphaned(connection)
    return run.report


def _before(now: datetime, days: int) -> datetime | None:
    return now - timedelta(days=days) if days else None


@dataclass
class _Run:
    database: Database
    archive: Path
    now: datetime
    slice_size: int
    progress: Progress
    is_dry: bool
    report: RetentionReport = field(init=False)

    def begin(self, log_before: datetime | None) -> None:
        """Find out how far events may go."""
        self.report = RetentionReport(self.is_dry)
        if log_before is None:
            return
        with self.database.transaction(is_read_only=True) as connection:
            needed = retention_db.needed_from(connection)
            old = [row["month"] for row in retention_db.event_months(connection, log_before)]
        # What happened on the eve of a day in any time zone still belongs to it.
        self.report.needed_from = needed - timedelta(days=1) if needed is not None else None
        before = min(log_before, self.report.needed_from or log_before)
        self.report.log_before = before
        self.report.months = [month for month in old if _end_of(month) <= before]
        self.report.months_waiting = [month for month in old if _end_of(month) > before]

    def look(self, deliveries: datetime | None, traces: datetime | None) -> None:
        """Count what would go."""
        never = datetime(1, 1, 2, tzinfo=UTC)
        with self.database.transaction(is_read_only=True) as connection:
            self.report.deleted = retention_db.old_rows(
                connection,
                log_before=self.report.log_before or never,
                deliveries_before=deliveries or never,
                traces_before=traces or never,
            )
        if deliveries is not None:
            self.report.deleted["campaign_deliveries"] = self._outbox(deliveries)

    def take_months_off(self) -> None:
        """Months that are old and not needed: off the log, into a file, gone."""
        for month in list(self.report.months):
            try:
                with self.database.transaction() as connection:
                    retention_db.detach_month(
                        connection, month, now=self.now, lock_milliseconds=LOCK_MILLISECONDS
                    )
            except (Conflict, StatementCancelled):
                self.report.months.remove(month)
                self.report.months_waiting.append(month)
                continue
            self.finish_archives()

    def finish_archives(self) -> None:
        """Write, read back and drop months that are off the log."""
        with self.database.transaction(is_read_only=True) as connection:
            unfinished = retention_db.unfinished_archives(connection)
        for found in unfinished:
            path = self.archive / f"campaign_events-{found['month']:%Y-%m}-{found['id']}.parquet"
            with self.database.transaction() as connection:
                if not retention_db.lock_archive(connection, found["id"]):
                    continue
                rows = write_archive(
                    path,
                    CAMPAIGN_EVENTS,
                    retention_db.rows_of_month(connection, found["table_name"], self.slice_size),
                )
                retention_db.finish_archive(
                    connection, found["id"], file=path.name, rows=rows, now=self.now
                )
            self._archived(path, rows)

    def archive_contact_events(self) -> None:
        """Old events of contacts: out of the table and into a file, in one transaction a slice."""
        before = self.report.log_before
        if before is None:
            return
        while True:
            with self.database.transaction() as connection:
                rows = retention_db.take_contact_events(connection, before, self.slice_size)
                if not rows:
                    return
                rows.sort(key=lambda row: (row["occurred_at"], row["id"]))
                first = rows[0]
                # The same slice, taken again after a kill, replaces its file.
                name = f"contact_events-{first['occurred_at']:%Y-%m-%d}-{first['id']}.parquet"
                path = self.archive / name
                written = write_archive(path, CONTACT_EVENTS, [rows])
                retention_db.note_contact_archive(
                    connection,
                    month=first["occurred_at"].date().replace(day=1),
                    file=name,
                    rows=written,
                    now=self.now,
                )
            self._archived(path, written)
            if len(rows) < self.slice_size:
                return

    def drop_deliveries(self, before: datetime) -> None:
        """Settled messages of people who are out."""
        with self.database.transaction() as connection:
            # First: from here on nobody takes a missing row for a lost one.
            retention_db.raise_retention_watermark(connection, "deliveries", before)
        self.report.deleted["campaign_deliveries"] = self._outbox(before)

    def drop(self, table: str, before: datetime) -> None:
        """Old rows of a table, in slices."""
        total = 0
        while True:
            with self.database.transaction() as connection:
                done = retention_db.drop_slice(
                    connection, table, before=before, slice_size=self.slice_size
                )
            total += done
            if done < self.slice_size:
                break
        self.report.deleted[table] = total

    def _outbox(self, before: datetime) -> int:
        total, after = 0, None
        while True:
            with self.database.transaction() as connection:
                last: UUID | None
                last, rows = retention_db.drop_deliveries(
                    connection,
                    after=after,
                    before=before,
                    slice_size=self.slice_size,
                    is_dry=self.is_dry,
                )
            total += rows
            if last is None:
                return total
            after = last

    def _archived(self, path: Path, rows: int) -> None:
        self.report.archived[path.name] = rows
        self.progress(f"{path.name}: {rows:,} events")


def _end_of(month: date) -> datetime:
    following = (month.replace(day=28) + timedelta(days=4)).replace(day=1)
    return datetime(following.year, following.month, following.day, tzinfo=UTC)
