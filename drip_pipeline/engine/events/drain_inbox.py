"""Draining the inbox: payloads of providers read, and their events taken in as those of a file are.

Rows stay locked while their events go in; a crash leaves them due, and what was taken of them is
known by the events' ids. A payload that cannot be read, or holds events that cannot be taken, is
kept with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import InboxRow, Settled
from drip_pipeline.db.events.ingestion import DUPLICATE, NO_SUCH_MESSAGE, RejectedLine
from drip_pipeline.domain.events.providers.common import PayloadInvalid, Reading
from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.events.inbound_sms import take_inbound_sms
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.events.payload_readers import inbound_sms, read
from drip_pipeline.engine.progress import Progress

BATCH_ROWS: Final = 1_000
BATCH_BYTES: Final = 32 * 1024 * 1024
RETRY_AFTER: Final = (timedelta(minutes=1), timedelta(minutes=10))
"""A provider may speak of a message before the answer that names it is written down. So what is
about no message that is known is looked at again, twice."""
_SHOWN_REASONS: Final = 5
_READS_NOT: Final = "the payload is not as the provider documents it"


@dataclass
class DrainReport:
    """What draining did: rows = done + rejected + again (tried later). The rest counts events and
    people, as ingestion does; `ignored` events say nothing to us.
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
class _Taking:
    """A claimed row while its events are taken."""

    row: InboxRow
    problems: Counter[str] = field(default_factory=Counter)


def drain_inbox(
    database: Database,
    *,
    now: datetime,
    batch_rows: int = BATCH_ROWS,
    max_seconds: float | None = None,
    progress: Progress | None = None,
) -> DrainReport:
    """Take in everything that is due at `now`. `max_seconds` of real time ends it between two
    batches; what is left stays due. Safe to run several times at once.
    """
    deadline = Deadline.after(max_seconds)
    report = DrainReport()
    while _drain_batch(database, report, now, batch_rows):
        if progress:
            progress(f"{report.rows:,} payloads read, {report.accepted:,} events taken")
        if deadline.is_over():
            break
    return report


def _drain_batch(database: Database, report: DrainReport, now: datetime, batch_rows: int) -> bool:
    with database.transaction() as claim:
        rows = inbox_db.claim(claim, now=now, batch_size=batch_rows, most_bytes=BATCH_BYTES)
        if not rows:
            return False
        by_provider: dict[str, list[_Taking]] = {}
        for row in rows:
            by_provider.setdefault(row.provider, []).append(_Taking(row))
        settled: list[Settled] = []
        for provider, takings in by_provider.items():
            _take(database, provider, takings, report, now)
            settled += [_verdict(taking, now) for taking in takings]
        inbox_db.settle(claim, settled, now=now)
    report.rows += len(settled)
    for verdict in settled:
        if verdict.status == "done":
            report.done += 1
        elif verdict.status == "rejected":
            report.rejected += 1
            reason = verdict.reason or ""
            report.reasons[reason] = report.reasons.get(reason, 0) + 1
        else:
            report.again += 1
    return True


def _take(
    database: Database,
    provider: str,
    takings: Sequence[_Taking],
    report: DrainReport,
    now: datetime,
) -> None:
    lines: list[dict[str, Any]] = []
    owners: list[_Taking] = []
    for taking in takings:
        reading = _read(database, taking, report, now)
        report.ignored += reading.ignored
        taking.problems.update(reading.problems)
        lines += reading.lines
        owners += [taking] * len(reading.lines)
    if not lines:
        return

    def blame(misfits: Sequence[RejectedLine]) -> None:
        for number, reason in misfits:
            if reason != DUPLICATE:
                owners[number - 1].problems[reason] += 1

    ingested = ingest_events(
        database, lines, source=f"inbox {provider}", now=now, provider=provider, on_rejected=blame
    )
    report.accepted += ingested.accepted
    report.duplicates += ingested.duplicates
    report.resumed += ingested.resumed
    report.ended += ingested.ended
    report.suppressed += ingested.suppressed
    report.settled += ingested.settled


def _read(database: Database, taking: _Taking, report: DrainReport, now: datetime) -> Reading:
    row = taking.row
    try:
        if (text := inbound_sms(row.provider, row.payload)) is not None:
            taken = take_inbound_sms(database, text, now=now)
            report.accepted += taken.events
            report.suppressed += taken.suppressed
            return Reading()
        return read(row.provider, row.payload, row.context, row.received_at)
    except PayloadInvalid as invalid:
        return Reading(problems=[str(invalid)])
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        # Whatever somebody sends must not keep the rows behind it waiting. Nothing of it is told:
        # the payload is in the row.
        return Reading(problems=[_READS_NOT])


def _verdict(taking: _Taking, now: datetime) -> Settled:
    row, problems = taking.row, taking.problems
    if not problems:
        return Settled(row.row_id, "done")
    told = "; ".join(
        f"{count:,} × {reason}" if count > 1 else reason
        for reason, count in problems.most_common(_SHOWN_REASONS)
    )
    if set(problems) == {NO_SUCH_MESSAGE} and row.attempts < len(RETRY_AFTER):
        return Settled(row.row_id, "pending", told, now + RETRY_AFTER[row.attempts])
    return Settled(row.row_id, "rejected", told)
