"""Drain the inbox: parse payloads of providers, and ingest their events like those of a file.

Payloads stay locked while their events are ingested. After a crash they are still due, and events
that were ingested before are duplicates by their ids. A payload that cannot be parsed, or with
events that cannot be ingested, is stored as rejected with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import InboxResult, InboxRow
from drip_pipeline.db.events.ingestion import DUPLICATE, NO_SUCH_MESSAGE, RejectedLine
from drip_pipeline.domain.events.providers.common import (
    EventLine,
    ParsedPayload,
    PayloadInvalid,
)
from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.events.file_reader import lines_of
from drip_pipeline.engine.events.inbound_sms import take_inbound_sms
from drip_pipeline.engine.events.ingest import IngestOptions, ingest_lines
from drip_pipeline.engine.events.payload_readers import inbound_sms, read
from drip_pipeline.engine.isolation import is_of_the_data
from drip_pipeline.engine.progress import Progress

BATCH_ROWS: Final = 1_000
BATCH_BYTES: Final = 32 * 1024 * 1024
RETRY_AFTER: Final = (timedelta(minutes=1), timedelta(minutes=10))
"""A provider may report on a message before its id is stored, so that events of an unknown message
are retried twice."""
_SHOWN_REASONS: Final = 5
_UNPARSABLE: Final = "the payload is not as the provider documents it"


@dataclass
class DrainReport:
    """The result of draining: rows = done + rejected + again (to be retried later).

    The other counts are those of IngestReport; `ignored` counts events that are not needed.
    """

    rows: int = 0
    done: int = 0
    rejected: int = 0
    again: int = 0
    accepted: int = 0
    duplicates: int = 0
    ignored: int = 0
    resumed: int = 0
    ended: int = 0
    suppressed: int = 0
    settled: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _ClaimedPayload:
    """A claimed payload; `problems` counts reasons of rejected events."""

    row: InboxRow
    problems: Counter[str] = field(default_factory=Counter)


def drain_inbox(
    database: Database,
    *,
    now: datetime,
    batch_rows: int = BATCH_ROWS,
    max_seconds: float | None = None,
    progress: Progress | None = None,
    report: DrainReport | None = None,
) -> DrainReport:
    """Ingest all payloads that are due at `now`.

    After `max_seconds` of real time it stops between two batches; the other payloads stay due. Safe
    to run concurrently. `report` continues an earlier call that an error ended.
    """
    deadline = Deadline.after(max_seconds)
    report = report if report is not None else DrainReport()
    while _drain_batch(database, report, now, batch_rows):
        if progress:
            progress(f"{report.rows:,} payloads read, {report.accepted:,} events accepted")
        if deadline.is_over():
            break
    return report


def _drain_batch(database: Database, report: DrainReport, now: datetime, batch_rows: int) -> bool:
    with database.transaction() as claim:
        rows = inbox_db.claim(claim, now=now, batch_size=batch_rows, most_bytes=BATCH_BYTES)
        if not rows:
            return False
        by_provider: dict[str, list[_ClaimedPayload]] = {}
        for row in rows:
            by_provider.setdefault(row.provider, []).append(_ClaimedPayload(row))
        results: list[InboxResult] = []
        for provider, payloads in by_provider.items():
            _ingest(database, provider, payloads, report, now)
            results += [_result(payload, now) for payload in payloads]
        inbox_db.settle(claim, results, now=now)
    report.rows += len(results)
    for result in results:
        if result.status == "done":
            report.done += 1
        elif result.status == "rejected":
            report.rejected += 1
            reason = result.reason or ""
            report.reasons[reason] = report.reasons.get(reason, 0) + 1
        else:
            report.again += 1
    return True


def _ingest(
    database: Database,
    provider: str,
    payloads: Sequence[_ClaimedPayload],
    report: DrainReport,
    now: datetime,
) -> None:
    lines: list[EventLine] = []
    payload_of_line: list[_ClaimedPayload] = []
    for payload in payloads:
        parsed = _parse(database, payload.row, report, now)
        report.ignored += parsed.ignored
        payload.problems.update(parsed.problems)
        lines += parsed.lines
        payload_of_line += [payload] * len(parsed.lines)
    if not lines:
        return

    def add_problems(rejected: Sequence[RejectedLine]) -> None:
        for number, reason in rejected:
            if reason != DUPLICATE:
                payload_of_line[number - 1].problems[reason] += 1

    options = IngestOptions(
        source=f"inbox {provider}", now=now, provider=provider, on_rejected=add_problems
    )
    ingested = ingest_lines(database, lines_of(lines), options)
    report.accepted += ingested.accepted
    report.duplicates += ingested.duplicates
    report.resumed += ingested.resumed
    report.ended += ingested.ended
    report.suppressed += ingested.suppressed
    report.settled += ingested.settled


def _parse(database: Database, row: InboxRow, report: DrainReport, now: datetime) -> ParsedPayload:
    try:
        if (sms := inbound_sms(row.provider, row.payload)) is not None:
            inbound = take_inbound_sms(database, sms, now=now)
            report.accepted += inbound.events
            report.suppressed += inbound.suppressed
            return ParsedPayload()
        return read(row.provider, row.payload, row.context, row.received_at)
    except PayloadInvalid as invalid:
        return ParsedPayload(problems=[str(invalid)])
    except Exception as error:
        if not is_of_the_data(error):
            raise
        # No payload may block the payloads behind it. The reason quotes nothing of it; the payload
        # itself is in the row.
        return ParsedPayload(problems=[_UNPARSABLE])


def _result(payload: _ClaimedPayload, now: datetime) -> InboxResult:
    row, problems = payload.row, payload.problems
    if not problems:
        return InboxResult(row.id, "done")
    reason = "; ".join(
        f"{count:,} × {problem}" if count > 1 else problem
        for problem, count in problems.most_common(_SHOWN_REASONS)
    )
    if set(problems) == {NO_SUCH_MESSAGE} and row.attempts < len(RETRY_AFTER):
        return InboxResult(row.id, "pending", reason, now + RETRY_AFTER[row.attempts])
    return InboxResult(row.id, "rejected", reason)
