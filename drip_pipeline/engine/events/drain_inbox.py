"""Drain the inbox: parse payloads of providers, and ingest their events like those of a file.

Payloads stay locked while their events are ingested. After a crash they are still due, and events
that were ingested before are duplicates by their ids. A payload that cannot be parsed, or with
events that cannot be ingested, is stored as rejected with the reason. The events of a provider's
key that belongs to a workspace are ingested for this workspace only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.inbox import InboxResult, InboxRow
from drip_pipeline.db.events.ingestion import DUPLICATE, NO_SUCH_MESSAGE, RejectedLine
from drip_pipeline.domain.events.providers.common import (
    EventLine,
    ParsedPayload,
    PayloadInvalid,
)
from drip_pipeline.domain.events.soft_bounces import DEFAULT_SOFT_BOUNCES, SoftBounceLimit
from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.events.file_reader import lines_of
from drip_pipeline.engine.events.inbound_sms import take_inbound_sms
from drip_pipeline.engine.events.ingest import DEFAULT_PROVIDER, IngestOptions, ingest_lines
from drip_pipeline.engine.events.payload_readers import inbound_sms, read
from drip_pipeline.engine.events.resolve_recipients import scope_of
from drip_pipeline.engine.isolation import is_of_the_data
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import NotAllowed, NotFound

BATCH_ROWS: Final = 1_000
BATCH_BYTES: Final = 32 * 1024 * 1024
RETRY_AFTER: Final = (timedelta(minutes=1), timedelta(minutes=10))
"""A provider may report on a message before its id is stored, so that events of an unknown message
are retried twice."""
_SHOWN_REASONS: Final = 5
_UNPARSABLE: Final = "the payload is not as the provider documents it"
_NO_WORKSPACE: Final = "the workspace that the settings name for the provider's key does not exist"


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

    @property
    def workspace(self) -> str | None:
        """The workspace of the key that the payload was signed with; None: of all workspaces."""
        name = self.row.context.get("workspace")
        return name if isinstance(name, str) else None

    @property
    def is_retried(self) -> bool:
        """Whether events of unknown messages are due again after this attempt."""
        return self.row.attempts < len(RETRY_AFTER)


def drain_inbox(
    database: Database,
    *,
    now: datetime,
    batch_rows: int = BATCH_ROWS,
    max_seconds: float | None = None,
    progress: Progress | None = None,
    report: DrainReport | None = None,
    soft_bounces: SoftBounceLimit = DEFAULT_SOFT_BOUNCES,
) -> DrainReport:
    """Ingest all payloads that are due at `now`.

    After `max_seconds` of real time it stops between two batches; the other payloads stay due. Safe
    to run concurrently. `report` continues an earlier call that an error ended.
    """
    deadline = Deadline.after(max_seconds)
    report = report if report is not None else DrainReport()
    while _drain_batch(database, report, now, batch_rows, soft_bounces):
        if progress:
            progress(f"{report.rows:,} payloads read, {report.accepted:,} events accepted")
        if deadline.is_over():
            break
    return report


def _drain_batch(
    database: Database,
    report: DrainReport,
    now: datetime,
    batch_rows: int,
    soft_bounces: SoftBounceLimit,
) -> bool:
    with database.transaction() as claim:
        rows = inbox_db.claim(claim, now=now, batch_size=batch_rows, most_bytes=BATCH_BYTES)
        if not rows:
            return False
        groups: dict[tuple[str, str | None, bool], list[_ClaimedPayload]] = {}
        for row in rows:
            payload = _ClaimedPayload(row)
            key = (row.provider, payload.workspace, payload.is_retried)
            groups.setdefault(key, []).append(payload)
        results: list[InboxResult] = []
        for (provider, workspace, is_retried), payloads in groups.items():
            options = IngestOptions(
                source=f"inbox {provider}",
                now=now,
                # Applications number their events themselves: those of two workspaces may collide.
                provider=f"{provider}/{workspace}"
                if workspace and provider == DEFAULT_PROVIDER
                else provider,
                workspace=workspace,
                soft_bounces=soft_bounces,
                is_retried=is_retried,
            )
            _ingest(database, payloads, report, options)
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
    payloads: Sequence[_ClaimedPayload],
    report: DrainReport,
    options: IngestOptions,
) -> None:
    try:
        workspace_id = scope_of(database, options.workspace).only
    except (NotFound, NotAllowed):
        for payload in payloads:
            payload.problems[_NO_WORKSPACE] += 1
        return
    lines: list[EventLine] = []
    payload_of_line: list[_ClaimedPayload] = []
    for payload in payloads:
        parsed = _parse(database, payload.row, report, options.now, workspace_id)
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

    ingested = ingest_lines(database, lines_of(lines), replace(options, on_rejected=add_problems))
    report.accepted += ingested.accepted
    report.duplicates += ingested.duplicates
    report.resumed += ingested.resumed
    report.ended += ingested.ended
    report.suppressed += ingested.suppressed
    report.settled += ingested.settled


def _parse(
    database: Database,
    row: InboxRow,
    report: DrainReport,
    now: datetime,
    workspace_id: UUID | None,
) -> ParsedPayload:
    try:
        if (sms := inbound_sms(row.provider, row.payload)) is not None:
            inbound = take_inbound_sms(database, sms, now=now, workspace_id=workspace_id)
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
    if set(problems) == {NO_SUCH_MESSAGE} and payload.is_retried:
        return InboxResult(row.id, "pending", reason, now + RETRY_AFTER[row.attempts])
    return InboxResult(row.id, "rejected", reason)
