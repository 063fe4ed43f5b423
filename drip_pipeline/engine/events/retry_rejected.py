"""Ingest rejected event lines again, from the raw text that was stored with them.

A line that is accepted, or turns out to be a duplicate, leaves `rejected_events`; the others stay
there with their new reason. After a crash the lines are still stored, and those that were ingested
are duplicates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Final
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.events.ingestion import DUPLICATE, RejectedLine, StoredLine
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.events.file_reader import STORED_CHARACTERS, SourceLine, parse_line
from drip_pipeline.engine.events.ingest import DEFAULT_PROVIDER, IngestOptions, ingest_lines
from drip_pipeline.engine.progress import Progress

CHUNK_LINES: Final = 10_000
TRUNCATED: Final = "only the beginning of the line is stored: load it from its source again"


@dataclass
class RetryReport:
    """The result of a retry: lines = accepted + duplicates + rejected.

    `rejected` counts the lines that were rejected again by reason.
    """

    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


def retry_rejected(
    database: Database,
    *,
    now: datetime,
    source: str | None = None,
    reason: str | None = None,
    progress: Progress | None = None,
    actor: Actor = LIBRARY,
    why: str | None = None,
) -> RetryReport:
    """Ingest all lines of `rejected_events` again, or those of one source or reason.

    `why`: the reason of the retry, for the audit trail.
    """
    report = RetryReport()
    action_id = uuid4()

    def note(connection: Connection) -> None:
        if report.accepted or report.duplicates:
            audit.record(
                connection,
                actor,
                "retry_rejected_events",
                audit.Subject("payload", None),
                now=now,
                reason=why,
                details={
                    "source": source,
                    "rejected_for": reason,
                    "lines": report.lines,
                    "accepted": report.accepted,
                    "duplicates": report.duplicates,
                },
                action_id=action_id,
            )

    after = 0
    with database.transaction(is_read_only=True) as connection:
        last_id = events_db.last_rejected(connection)
    while True:
        with database.transaction(is_read_only=True) as connection:
            lines = events_db.rejected_lines(
                connection,
                after=after,
                last_id=last_id,
                source=source,
                reason=reason,
                limit=CHUNK_LINES,
            )
        if not lines:
            return report
        for (provider, workspace_id), group in groupby(sorted(lines, key=_issuer_key), key=_issuer):
            _retry(database, list(group), provider, workspace_id, report, now, note)
        after = lines[-1].id
        if progress:
            progress(f"{report.lines:,} lines retried, {report.accepted:,} events accepted")


def _issuer(line: StoredLine) -> tuple[str, UUID | None]:
    return line.provider or DEFAULT_PROVIDER, line.workspace_id


def _issuer_key(line: StoredLine) -> tuple[str, str]:
    provider, workspace_id = _issuer(line)
    return provider, str(workspace_id or "")


def _retry(
    database: Database,
    lines: Sequence[StoredLine],
    provider: str,
    workspace_id: UUID | None,
    report: RetryReport,
    now: datetime,
    record: Callable[[Connection], None],
) -> None:
    rejected: dict[int, str] = {}

    def note(rejects: Sequence[RejectedLine]) -> None:
        for number, reason in rejects:
            if reason == DUPLICATE:
                report.duplicates += 1
            else:
                rejected[number] = reason
                report.rejected[reason] = report.rejected.get(reason, 0) + 1

    options = IngestOptions(
        source="rejected events",
        now=now,
        provider=provider,
        workspace=str(workspace_id) if workspace_id else None,
        on_rejected=note,
    )
    ingested = ingest_lines(database, _source_lines(lines), options)
    report.lines += len(lines)
    report.accepted += ingested.accepted
    with database.transaction() as connection:
        events_db.settle_retried(
            connection,
            accepted=[line.id for line in lines if line.id not in rejected],
            rejected=rejected,
            now=now,
        )
        record(connection)


def _source_lines(lines: Sequence[StoredLine]) -> Iterator[SourceLine]:
    """Yield the lines as of a file; their numbers are the ids in `rejected_events`."""
    for line in lines:
        raw = (line.raw or "").encode()
        if not raw.strip():
            yield SourceLine(line.id, None, raw, "the line is not stored")
        elif len(line.raw or "") >= STORED_CHARACTERS:
            yield SourceLine(line.id, None, raw, TRUNCATED)
        else:
            yield parse_line(line.id, raw)
