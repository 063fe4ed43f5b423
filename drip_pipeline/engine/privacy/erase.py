"""Complete the erasures that were requested: tables, texts, files, and Dagster's storage.

Every step can be repeated. What identifies a person is stored, for the engine only, until all steps
are done; an erasure that is interrupted is continued by the next tick, or by the command. Erasures
that cannot be completed, because a file is missing, are tried again after ten minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.dagster import erasure as dagster_db
from drip_pipeline.db.dagster.storage import existing_storage_url
from drip_pipeline.db.privacy import erasures as erasures_db
from drip_pipeline.db.privacy.erasures import PendingErasure
from drip_pipeline.engine import erased_addresses
from drip_pipeline.engine.erased_addresses import ErasureKeys
from drip_pipeline.engine.isolation import describe
from drip_pipeline.engine.privacy.archives import rewrite_archives
from drip_pipeline.engine.privacy.identifiers import Finder, Identifiers
from drip_pipeline.engine.privacy.landed_copies import mask_logs, rewrite_landed
from drip_pipeline.engine.privacy.rewrite import MOST_PERSONS, enrollments_of, rewrite_tables
from drip_pipeline.engine.privacy.texts import search_tables
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import DatabaseUnavailable, DripError
from drip_pipeline.settings import Settings

log = logging.getLogger(__name__)

RETRY_AFTER: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class ErasureScope:
    """Where copies of personal data are, beside the engine's tables.

    `logs`: folders of log files. `settings` name Dagster's storage; None without one.
    """

    keys: ErasureKeys
    archive: Path
    landing: Path
    logs: tuple[Path, ...] = ()
    settings: Settings | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the scope of these settings."""
        return cls(
            ErasureKeys.of(settings),
            settings.archive_folder(),
            settings.landing_folder(),
            (settings.home,),
            settings,
        )


@dataclass
class ErasureReport:
    """Persons whose erasure is complete, and those that wait, with the reasons."""

    erased: int = 0
    waiting: int = 0
    reasons: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """The files that were rewritten."""


def erase_pending(
    database: Database,
    scope: ErasureScope,
    *,
    now: datetime,
    accepts_missing: bool = False,
    retries_at_once: bool = False,
    progress: Progress | None = None,
) -> ErasureReport:
    """Complete all erasures that were requested.

    `accepts_missing`: archive files that are not in the folder were deleted. With
    `retries_at_once`, erasures whose last attempt failed are tried again now.
    """
    report = ErasureReport()
    failed_before = now if retries_at_once else now - RETRY_AFTER
    with database.transaction() as lock:
        if not erasures_db.has_pending(lock, failed_before):
            return report
        if not erasures_db.try_lock(lock):
            report.waiting = erasures_db.count_pending(lock).erasures
            report.reasons.append("another process is erasing contacts")
            return report
        # The lock is held while other transactions write.
        _rewrite_all(database, scope, now, progress)
        while not report.waiting:
            with database.transaction() as connection:
                pending = erasures_db.lock_pending(
                    connection, is_rewritten=True, most=MOST_PERSONS, failed_before=failed_before
                )
            if not pending:
                break
            reasons = _search_everywhere(
                database, scope, pending, report, accepts_missing=accepts_missing, progress=progress
            )
            done = _complete(database, pending, reasons, now=now)
            report.erased += done
            if done < len(pending):
                report.waiting += len(pending) - done
                report.reasons += reasons or ["messages to these persons are being sent"]
    return report


def erase_at_tick(database: Database, scope: ErasureScope | None, *, now: datetime) -> int:
    """Complete the erasures that were requested. Return their number.

    An error is logged and does not stop the engine: the erasure is tried again.
    """
    if scope is None:
        return 0
    try:
        report = erase_pending(database, scope, now=now)
    except DatabaseUnavailable:
        raise
    except DripError as error:
        log.error("contacts could not be erased: %s", describe(error))
        return 0
    if report.waiting:
        log.warning("%d erasures wait: %s", report.waiting, "; ".join(report.reasons))
    return report.erased


def _rewrite_all(
    database: Database, scope: ErasureScope, now: datetime, progress: Progress | None
) -> None:
    while True:
        with database.transaction() as connection:
            rewritten = rewrite_tables(connection, scope.keys, now=now)
        if progress and rewritten:
            progress(f"tables: {rewritten:,} persons erased")
        if rewritten < MOST_PERSONS:
            break
    erased_addresses.forget()


def identifiers_of(pending: Sequence[PendingErasure]) -> dict[UUID, Identifiers]:
    """Return what identifies these persons, by their erasures."""
    return {
        each.erasure_id: Identifiers.of(each.workspace_id, each.contact_id, each.identifiers)
        for each in pending
    }


def _search_everywhere(
    database: Database,
    scope: ErasureScope,
    pending: Sequence[PendingErasure],
    report: ErasureReport,
    *,
    accepts_missing: bool,
    progress: Progress | None,
) -> list[str]:
    """Take these persons out of texts, files and Dagster's storage. Return why that is incomplete,
    if it is."""
    persons = identifiers_of(pending)
    finder = Finder(persons.values())
    search_tables(database, finder, progress)
    reasons: list[str] = []
    erasure_of = {
        text: str(erasure_id)
        for erasure_id, person in persons.items()
        for text in (*person.enrollments, *([str(person.contact_id)] if person.contact_id else []))
    }
    try:
        archives = rewrite_archives(database, scope.archive, erasure_of, progress)
        report.files += archives.rewritten
        if archives.missing and not accepts_missing:
            reasons.append(
                f"{len(archives.missing):,} archive files are not in {scope.archive.name}, for"
                f" example {archives.missing[0]}"
            )
        if archives.unfinished:
            reasons.append("retention is archiving a month of the log")
        report.files += rewrite_landed(database, scope.landing, finder, progress)
        report.files += mask_logs([folder for folder in scope.logs if folder.is_dir()], finder)
    except OSError as error:
        name = Path(str(error.filename)).name if error.filename else "a file"
        reasons.append(f"{name} cannot be rewritten: {error.strerror}")
    _search_dagster(database, scope, persons.values(), finder)
    return reasons


def _search_dagster(
    database: Database, scope: ErasureScope, persons: Collection[Identifiers], finder: Finder
) -> None:
    if scope.settings is None:
        return
    url = existing_storage_url(scope.settings, database.url)
    if url is None:
        return
    needles = {address for person in persons for address in person.addresses}
    needles |= {str(person.contact_id) for person in persons if person.contact_id}
    with Database(
        url, application_name="drip-erasure", pooler=scope.settings.database_pooler
    ) as storage:
        with storage.transaction(is_read_only=True) as connection:
            columns = dagster_db.text_columns(connection)
        for column in columns:
            with storage.transaction() as connection:
                dagster_db.rewrite(connection, column, sorted(needles), finder.replaced)


def _complete(
    database: Database,
    pending: Sequence[PendingErasure],
    reasons: Sequence[str],
    *,
    now: datetime,
) -> int:
    """Rewrite what was written meanwhile, and forget what identified the persons. Return how many
    erasures are complete."""
    persons = identifiers_of(pending)
    with database.transaction() as connection:
        message_of = {
            UUID(message): erasure_id
            for erasure_id, person in persons.items()
            for message in person.messages
        }
        erasures_db.rewrite_deliveries(connection, message_of)
        late = enrollments_of(persons)
        contact_of = {each.contact_id: each.erasure_id for each in pending if each.contact_id}
        erasures_db.rewrite_rows(connection, late, contact_of)
        if reasons:
            erasures_db.mark_failed(connection, list(persons), now)
            return 0
        sending = erasures_db.being_sent(connection, list(message_of))
        waiting = {message_of[message] for message in sending}
        if waiting:
            erasures_db.mark_failed(connection, list(waiting), now)
        done = [erasure_id for erasure_id in persons if erasure_id not in waiting]
        return erasures_db.complete(connection, done, now)
