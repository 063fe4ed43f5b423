"""Taking in provider events: read, check, find out whose they are, write down once, move people.

A slice is one transaction: either all of it counts or nothing, and then it is read again. The same
event counts once, in whichever file, slice or process it comes; lines that cannot be taken are kept
aside with the reason. The next slice is read while the database works on this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from drip_pipeline.db import events as events_db
from drip_pipeline.db import ledger as ledger_db
from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.events import DUPLICATE, NO_SUCH_MESSAGE, Misfit
from drip_pipeline.engine.event_files import SourceLine, lines_of, read_lines
from drip_pipeline.engine.event_lines import BadLine, LineReader, Named
from drip_pipeline.engine.facts import EVENT_CLOCK_TOLERANCE
from drip_pipeline.engine.settle import settle_accepted
from drip_pipeline.engine.wake import Moved, move_people
from drip_pipeline.errors import Conflict, ConstraintViolated, DataRejected, NotAllowed, NotFound

DEFAULT_PROVIDER: Final = "generic"
SLICE_SIZE: Final = 50_000
CONFLICT_TRIES: Final = 4
NEVER_SENT: Final = "the message was never sent"
REFUSED: Final = "the database refused a value"

Progress = Callable[[str], None]


@dataclass
class IngestReport:
    """What became of the lines of a source: lines = accepted + duplicates + rejected.

    `rejected` counts by reason. `woken` people wait no longer, `ended` ones left because they want
    no more, `suppressed` contacts are new on a suppression list, `settled` messages were in doubt
    until their provider spoke of them.
    """

    source: str
    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    woken: int = 0
    ended: int = 0
    suppressed: int = 0
    settled: int = 0
    slices: int = 0

    def count_misfits(self, misfits: Iterable[Misfit]) -> None:
        """Count lines that were not taken."""
        for reason, lines in Counter(reason for _, reason in misfits).items():
            if reason == DUPLICATE:
                self.duplicates += lines
            else:
                self.rejected[reason] = self.rejected.get(reason, 0) + lines


def ingest_file(
    database: Database,
    path: Path,
    *,
    now: datetime,
    provider: str = DEFAULT_PROVIDER,
    workspace: str | None = None,
    slice_size: int = SLICE_SIZE,
    progress: Progress | None = None,
) -> IngestReport:
    """Load a file of events (NDJSON, gzipped or not, or Parquet).

    `provider` is whose event ids these are. `workspace`, by name or id, is whose events are taken;
    without one, all, and addresses alone belong to the only workspace there is. Raises
    ImportFileError when the file cannot be read, NotFound for an unknown workspace.
    """
    return ingest_lines(
        database,
        read_lines(path),
        source=path.name,
        now=now,
        provider=provider,
        workspace=workspace,
        slice_size=slice_size,
        progress=progress,
    )


def ingest_events(
    database: Database,
    events: Iterable[Mapping[str, Any]],
    *,
    source: str,
    now: datetime,
    provider: str = DEFAULT_PROVIDER,
    workspace: str | None = None,
    slice_size: int = SLICE_SIZE,
) -> IngestReport:
    """Take in events that are in memory, each with the keys of a line of an events file."""
    return ingest_lines(
        database,
        lines_of(events),
        source=source,
        now=now,
        provider=provider,
        workspace=workspace,
        slice_size=slice_size,
    )


def ingest_lines(
    database: Database,
    lines: Iterable[SourceLine],
    *,
    source: str,
    now: datetime,
    provider: str,
    workspace: str | None,
    slice_size: int = SLICE_SIZE,
    progress: Progress | None = None,
) -> IngestReport:
    """Take in any source of lines, slice by slice."""
    run = _Run(database, source, provider, _scope(database, workspace), now)
    with ThreadPoolExecutor(1, thread_name_prefix="read-events") as reader:
        slices = _slices(iter(lines), LineReader(provider, now), slice_size)
        upcoming = reader.submit(next, slices, None)
        while (batch := upcoming.result()) is not None:
            upcoming = reader.submit(next, slices, None)
            run.take(batch)
            if progress:
                progress(f"{run.report.lines:,} lines read, {run.report.accepted:,} events taken")
    return run.report


@dataclass(frozen=True, slots=True)
class _Scope:
    """Whose events are taken: `only` restricts to a workspace, `alone` owns addresses that name no
    campaign.
    """

    only: UUID | None
    alone: UUID | None


def _scope(database: Database, workspace: str | None) -> _Scope:
    with database.transaction(is_read_only=True) as connection:
        found = events_db.workspaces(connection, workspace)
    if workspace is None:
        return _Scope(None, found[0] if len(found) == 1 else None)
    if not found:
        raise NotFound("workspace", workspace)
    if len(found) > 1:
        raise NotAllowed(
            f"several workspaces are named {workspace!r}", hint="Give its id instead of its name."
        )
    return _Scope(found[0], found[0])


@dataclass(frozen=True, slots=True)
class _Slice:
    """Lines that were read and checked: `rows` are the good ones by line number, each event once,
    `misfits` the rest. `named_by` says how any of the rows name their person, `months` where in
    time any row so far lies; `read` counts all lines.
    """

    rows: Sequence[tuple[int, str]]
    misfits: Sequence[Misfit]
    source_lines: Mapping[int, SourceLine]
    named_by: frozenset[Named] = frozenset()
    months: frozenset[str] = frozenset()
    read: int = 0

    def halves(self) -> tuple[_Slice, _Slice]:
        """The same rows in two slices, without the misfits."""
        middle = len(self.rows) // 2
        return (
            replace(self, rows=self.rows[:middle], misfits=()),
            replace(self, rows=self.rows[middle:], misfits=()),
        )


def _slices(lines: Iterator[SourceLine], reader: LineReader, slice_size: int) -> Iterator[_Slice]:
    while chunk := list(islice(lines, slice_size)):
        rows: dict[str, tuple[int, str]] = {}
        named_by: set[Named] = set()
        misfits: list[Misfit] = []
        for source_line in chunk:
            number = source_line.line_number
            if source_line.line is None:
                misfits.append((number, source_line.problem or "unreadable"))
                continue
            try:
                row = reader.read(number, source_line.line)
            except BadLine as problem:
                misfits.append((number, str(problem)))
                continue
            if row.event_key in rows:
                misfits.append((number, DUPLICATE))
            else:
                rows[row.event_key] = number, row.copy_text
                named_by.add(row.named_by)
        yield _Slice(
            list(rows.values()),
            misfits,
            {line.line_number: line for line in chunk},
            frozenset(named_by),
            frozenset(reader.months),
            len(chunk),
        )


class _Run:
    """The way of one source's slices into the database."""

    def __init__(
        self, database: Database, source: str, provider: str, scope: _Scope, now: datetime
    ) -> None:
        self._database = database
        self._source = source
        self._provider = provider
        self._scope = scope
        self._now = now
        self._months_ready: set[str] = set()
        self.report = IngestReport(source)

    def take(self, batch: _Slice) -> None:
        """Take in a slice; what it did is in the report when it is committed."""
        self._take_or_halve(batch)
        self.report.lines += batch.read
        self.report.slices += 1

    def _take_or_halve(self, batch: _Slice) -> None:
        try:
            self._take_whole(batch)
            return
        except (DataRejected, ConstraintViolated):
            # A value that only the database could find fault with: found by halving.
            if len(batch.rows) == 1:
                line = (batch.rows[0][0], REFUSED)
                self._take_whole(replace(batch, rows=(), misfits=(*batch.misfits, line)))
                return
            if not batch.rows:
                raise
        for half in batch.halves():
            self._take_or_halve(half)
        if batch.misfits:
            self._take_whole(replace(batch, rows=()))

    def _take_whole(self, batch: _Slice) -> None:
        conflicts = 0
        while True:
            try:
                with self._database.transaction() as connection:
                    taken = self._write(connection, batch)
                break
            except _MonthsMissing as missing:
                self._prepare_log(missing.months)
            except Conflict:
                conflicts += 1
                if conflicts == CONFLICT_TRIES:
                    raise
        report = self.report
        report.accepted += taken.accepted
        report.count_misfits(taken.misfits)
        report.woken += taken.moved.woken
        report.ended += taken.moved.ended
        report.suppressed += taken.moved.suppressed
        report.settled += taken.settled

    def _prepare_log(self, months: Iterable[str]) -> None:
        # In transactions of their own: what attaching a partition locks must be free again soon.
        for month in sorted(months):
            with self._database.transaction() as connection:
                ledger_db.ensure_partitions(connection, datetime.fromisoformat(f"{month}-01T00Z"))
            self._months_ready.add(month)

    def _write(self, connection: Connection, batch: _Slice) -> _Taken:
        misfits = list(batch.misfits)
        accepted = settled = 0
        moved = Moved()
        if batch.rows:
            events_db.stage(connection, (text for _, text in batch.rows))
            # Here and not earlier: staging needs nobody's leave.
            events_db.lock(connection)
            batch_id = uuid4()
            unresolved, settled = self._resolve(connection, batch, batch_id)
            misfits += unresolved
            if batch.months - self._months_ready:
                # Only months of events that are taken: any line may claim any time.
                missing = events_db.months_of_arrivals(connection) - self._months_ready
                if missing:
                    raise _MonthsMissing(missing)
            accepted = events_db.keep(connection, self._now)
            if accepted:
                events_db.apply_to_outcomes(connection)
                events_db.apply_to_assignments(connection)
                moved = move_people(
                    connection, batch_id=batch_id, source=self._provider, now=self._now
                )
        self._keep_aside(connection, misfits, batch.source_lines)
        return _Taken(accepted, misfits, moved, settled)

    def _resolve(
        self, connection: Connection, batch: _Slice, batch_id: UUID
    ) -> tuple[list[Misfit], int]:
        misfits: list[Misfit] = []
        settled = 0
        if "provider_id" in batch.named_by:
            events_db.resolve_provider_refs(connection)
        if batch.named_by & {"message", "provider_id"}:
            found = events_db.resolve_by_message(connection, self._scope.only)
            misfits += [(line, why) for line, why, _ in found if why != NO_SUCH_MESSAGE]
            unknown = {line: message for line, why, message in found if why == NO_SUCH_MESSAGE}
            if unknown:
                still_unknown, settled = self._settle_doubts(connection, unknown, batch_id)
                misfits += still_unknown
        if "campaign" in batch.named_by:
            misfits += events_db.resolve_by_campaign(
                connection, self._scope.only, EVENT_CLOCK_TOLERANCE
            )
        if "address" in batch.named_by:
            misfits += events_db.resolve_by_address(connection, self._scope.alone)
        return misfits, settled

    def _settle_doubts(
        self, connection: Connection, unknown: Mapping[int, UUID | None], batch_id: UUID
    ) -> tuple[list[Misfit], int]:
        """A provider that speaks of a message has it: one in doubt is thereby settled as sent.

        `unknown` has the lines whose message is not known to have been sent. Gives back those that
        are not taken after all, and how many messages were settled.
        """
        ids = sorted({message for message in unknown.values() if message is not None})
        named = events_db.lock_deliveries(connection, self._scope.only, ids) if ids else []
        if not named:
            return [(line, NO_SUCH_MESSAGE) for line in unknown], 0
        doubtful: dict[str, list[dict[str, Any]]] = {}
        for row in named:
            if row["status"] in ("sending", "unknown"):
                doubtful.setdefault(row["channel"], []).append(row)
        for channel, rows in doubtful.items():
            settle_accepted(
                connection,
                rows,
                [None] * len(rows),
                channel=channel,
                batch_id=batch_id,
                now=self._now,
            )
        left = events_db.resolve_by_message(connection, self._scope.only, list(unknown))
        unsent = {row["id"] for row in named}
        misfits = [(line, NEVER_SENT if message in unsent else why) for line, why, message in left]
        return misfits, sum(map(len, doubtful.values()))

    def _keep_aside(
        self,
        connection: Connection,
        misfits: Sequence[Misfit],
        source_lines: Mapping[int, SourceLine],
    ) -> None:
        rows = [
            (line, reason, source_lines[line].text())
            for line, reason in misfits
            if reason != DUPLICATE
        ]
        if rows:
            events_db.reject(
                connection,
                rows,
                workspace_id=self._scope.alone,
                source=self._source,
                now=self._now,
            )


class _MonthsMissing(Exception):
    """The log has no partitions for these months yet."""

    def __init__(self, months: set[str]) -> None:
        super().__init__(months)
        self.months = months


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one transaction did."""

    accepted: int
    misfits: Sequence[Misfit]
    moved: Moved
    settled: int
