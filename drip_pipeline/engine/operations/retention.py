"""Apply retention to the engine's data: archive the event log by month, delete other rows by age.

Safe to repeat: a run that is interrupted is continued by the next one. Events stay while they are
needed: since the oldest open workflow state started, since the oldest running A/B test started, and
for days whose metrics must be recomputed. Metrics stay: counts of messages that were not sent are
kept when such a day is recomputed (`engine/metrics/daily_metrics.py`).
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
from drip_pipeline.db.privacy import erasures as erasures_db
from drip_pipeline.engine.campaigns.frequency_caps import delete_uncounted_sends
from drip_pipeline.engine.operations.parquet_archive import (
    CAMPAIGN_EVENTS,
    CONTACT_EVENTS,
    write_archive,
)
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import Conflict, StatementCancelled
from drip_pipeline.settings.kinds import Retention

CHUNK_ROWS: Final = 50_000
CHUNK_CONTACTS: Final = 2_000
LOCK_MILLISECONDS: Final = 3_000
"""How long detaching a month may block other transactions; then the next run tries again."""
_DIAGNOSTICS: Final = ("rejected_events", "rejected_contacts", "rejected_cells", "campaign_batches")
_AUDIT: Final = ("operator_actions",)
_WITH_DELIVERIES: Final = ("recorded_messages", "ingested_event_keys")


@dataclass
class RetentionReport:
    """What was removed, or would be in a dry run.

    `archived` has the events of each file, `deleted` the rows of each table. `months_waiting` are
    old enough, but still needed or locked by other transactions.
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
    chunk_size: int = CHUNK_ROWS,
    progress: Progress | None = None,
) -> RetentionReport:
    """Archive events to files in `archive`, and delete other rows, by their age at `now`.

    Raises DripError if a file cannot be read back; its events then stay in the database.
    """
    run = _Run(database, archive, now, chunk_size, progress or (lambda _: None), dry_run)
    run.find_old_months(cutoff(now, retention.log))
    diagnostics, deliveries = cutoff(now, retention.traces), cutoff(now, retention.deliveries)
    audit, contacts = cutoff(now, retention.audit), cutoff(now, retention.contacts)
    if dry_run:
        run.count_old_rows(deliveries, diagnostics, audit)
        if contacts is not None:
            with database.transaction(is_read_only=True) as connection:
                run.report.deleted["contacts"] = erasures_db.count_inactive(connection, contacts)
        return run.report
    if contacts is not None:
        run.delete_contacts(contacts)
    run.finish_archives()
    run.archive_months()
    run.archive_contact_events()
    if deliveries is not None:
        run.drop_deliveries(deliveries)
    for tables, before in (
        (_WITH_DELIVERIES, deliveries),
        (_DIAGNOSTICS, diagnostics),
        (_AUDIT, audit),
    ):
        if before is not None:
            for table in tables:
                run.drop(table, before)
    with database.transaction() as connection:
        run.report.deleted["campaign_entry_queue"] = triggers_db.delete_orphaned(connection)
    run.report.deleted["contact_sends"] = delete_uncounted_sends(database, now, chunk_size)
    return run.report


def cutoff(now: datetime, days: int) -> datetime | None:
    """Return the time `days` before `now`, or None for 0 days (keep for ever)."""
    return now - timedelta(days=days) if days else None


@dataclass
class _Run:
    database: Database
    archive: Path
    now: datetime
    chunk_size: int
    progress: Progress
    is_dry: bool
    report: RetentionReport = field(init=False)

    def find_old_months(self, log_before: datetime | None) -> None:
        """Split the months that end before `log_before` into removable and still needed ones."""
        self.report = RetentionReport(self.is_dry)
        if log_before is None:
            return
        with self.database.transaction(is_read_only=True) as connection:
            needed = retention_db.needed_from(connection)
            old = [row.month for row in retention_db.event_months(connection, log_before)]
        # A day starts up to 14 hours earlier in eastern time zones, so keep the day before.
        self.report.needed_from = needed - timedelta(days=1) if needed is not None else None
        before = min(log_before, self.report.needed_from or log_before)
        self.report.log_before = before
        self.report.months = [month for month in old if _end_of(month) <= before]
        self.report.months_waiting = [month for month in old if _end_of(month) > before]

    def count_old_rows(
        self, deliveries: datetime | None, diagnostics: datetime | None, audit: datetime | None
    ) -> None:
        """Count the rows that are old enough to delete."""
        never = datetime(1, 1, 2, tzinfo=UTC)
        with self.database.transaction(is_read_only=True) as connection:
            rows = retention_db.old_rows(
                connection,
                log_before=self.report.log_before or never,
                deliveries_before=deliveries or never,
                diagnostics_before=diagnostics or never,
                audit_before=audit or never,
            )
        self.report.deleted = rows._asdict()
        if deliveries is not None:
            self.report.deleted["campaign_deliveries"] = self._outbox(deliveries)

    def archive_months(self) -> None:
        """Detach the removable months from the event log, and archive each."""
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
        """Write detached months to files, read the files back, and drop the months."""
        with self.database.transaction(is_read_only=True) as connection:
            unfinished = retention_db.unfinished_archives(connection)
        for archive in unfinished:
            path = self.archive / f"campaign_events-{archive.month:%Y-%m}-{archive.id}.parquet"
            with self.database.transaction() as connection:
                if not retention_db.lock_archive(connection, archive.id):
                    continue
                rows = write_archive(
                    path,
                    CAMPAIGN_EVENTS,
                    retention_db.rows_of_month(connection, archive.table_name, self.chunk_size),
                )
                retention_db.finish_archive(
                    connection, archive.id, file=path.name, rows=rows, now=self.now
                )
            self._archived(path, rows)

    def archive_contact_events(self) -> None:
        """Move old contact events to files, one chunk in a transaction."""
        before = self.report.log_before
        if before is None:
            return
        while True:
            with self.database.transaction() as connection:
                rows = retention_db.take_contact_events(connection, before, self.chunk_size)
                if not rows:
                    return
                rows.sort(key=lambda row: (row.occurred_at, row.id))
                first = rows[0]
                # After a crash the same chunk is taken again, and its file is replaced.
                name = f"contact_events-{first.occurred_at:%Y-%m-%d}-{first.id}.parquet"
                path = self.archive / name
                written = write_archive(path, CONTACT_EVENTS, [[row._asdict() for row in rows]])
                retention_db.store_contact_archive(
                    connection,
                    month=first.occurred_at.date().replace(day=1),
                    file=name,
                    rows=written,
                    now=self.now,
                )
            self._archived(path, written)
            if len(rows) < self.chunk_size:
                return

    def drop_deliveries(self, before: datetime) -> None:
        """Delete settled deliveries of enrollments that have ended."""
        with self.database.transaction() as connection:
            # First, so that no reader takes a deleted row for a lost one.
            retention_db.raise_watermark(connection, "deliveries", before)
        self.report.deleted["campaign_deliveries"] = self._outbox(before)

    def delete_contacts(self, before: datetime) -> None:
        """Delete contacts without activity since `before`. The next tick erases their copies."""
        total = 0
        while True:
            with self.database.transaction() as connection:
                rows = erasures_db.delete_inactive(connection, before, CHUNK_CONTACTS)
            total += rows
            if rows < CHUNK_CONTACTS:
                break
            self.progress(f"{total:,} contacts deleted")
        self.report.deleted["contacts"] = total

    def drop(self, table: str, before: datetime) -> None:
        """Delete the old rows of a table, one chunk in a transaction."""
        total = 0
        while True:
            with self.database.transaction() as connection:
                rows = retention_db.drop_chunk(
                    connection, table, before=before, chunk_size=self.chunk_size
                )
            total += rows
            if rows < self.chunk_size:
                break
        self.report.deleted[table] = total

    def _outbox(self, before: datetime) -> int:
        total = 0
        after: UUID | None = None
        while True:
            with self.database.transaction() as connection:
                chunk = retention_db.drop_deliveries(
                    connection,
                    after=after,
                    before=before,
                    chunk_size=self.chunk_size,
                    is_dry=self.is_dry,
                )
            total += chunk.rows_old
            if chunk.last_id is None:
                return total
            after = chunk.last_id

    def _archived(self, path: Path, rows: int) -> None:
        self.report.archived[path.name] = rows
        self.progress(f"{path.name}: {rows:,} events")


def _end_of(month: date) -> datetime:
    following = (month.replace(day=28) + timedelta(days=4)).replace(day=1)
    return datetime(following.year, following.month, following.day, tzinfo=UTC)
