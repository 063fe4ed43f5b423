"""Taking in provider events: read, check, find out whose they are, write down once, move people.

A part of a slice is one transaction: either all of it counts or nothing, and then it is read again.
The same event counts once, in whichever file, slice or process it comes; lines that cannot be taken
are kept aside with the reason. The next slice is read while the database works on those before.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.events.ingestion import (
    DUPLICATE,
    INGESTION_PARTITIONS,
    KEYS_TABLE,
    RejectedLine,
)
from drip_pipeline.db.execution import batch_log as ledger_db
from drip_pipeline.engine.conflict_retry import is_conflict, retry_on_conflict
from drip_pipeline.engine.events.chunking import ChunkPart, EventChunk, read_chunks
from drip_pipeline.engine.events.event_parser import LineReader
from drip_pipeline.engine.events.file_reader import SourceLine, lines_of, read_lines
from drip_pipeline.engine.events.resolve_recipients import Scope, resolve, scope_of
from drip_pipeline.engine.events.resume_waiting import (
    EventEffects,
    apply_event_effects,
    lock_affected_states,
)
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import ConstraintViolated, DataRejected

DEFAULT_PROVIDER: Final = "generic"
CHUNK_LINES: Final = 50_000
SLICES_AHEAD: Final = 2
"""How many slices may be on their way into the database while the next one is read."""
REFUSED: Final = "the database refused a value"
OnMisfits = Callable[[Sequence[RejectedLine]], None]
"""Is told of the lines that were not taken, duplicates among them; they are then not kept aside."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a part of a slice."""

    accepted: int = 0
    misfits: Sequence[RejectedLine] = ()
    moved: EventEffects = field(default_factory=EventEffects)
    settled: int = 0
    conversions: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            self.accepted + other.accepted,
            (*self.misfits, *other.misfits),
            self.moved + other.moved,
            self.settled + other.settled,
            self.conversions + other.conversions,
        )


@dataclass
class IngestReport:
    """What became of the lines of a source: lines = accepted + duplicates + rejected.

    `rejected` counts lines by reason. `resumed` counts waiting states that continue, `ended` runs
    that exited (unsubscribed, complained, bounced), `suppressed` new suppression list entries,
    `settled` deliveries of unknown outcome that an event proves as sent, `conversions` the
    conversions derived from goal events.
    """

    source: str
    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    ended: int = 0
    suppressed: int = 0
    settled: int = 0
    conversions: int = 0
    chunks: int = 0

    def count(self, taken: Taken) -> None:
        """Add what a part of a slice came to."""
        self.accepted += taken.accepted
        self.resumed += taken.moved.resumed
        self.ended += taken.moved.ended
        self.suppressed += taken.moved.suppressed
        self.settled += taken.settled
        self.conversions += taken.conversions
        for reason, lines in Counter(reason for _, reason in taken.misfits).items():
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
    chunk_size: int = CHUNK_LINES,
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
        chunk_size=chunk_size,
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
    chunk_size: int = CHUNK_LINES,
    on_rejected: OnMisfits | None = None,
) -> IngestReport:
    """Take in events that are in memory, each with the keys of a line of an events file."""
    return ingest_lines(
        database,
        lines_of(events),
        source=source,
        now=now,
        provider=provider,
        workspace=workspace,
        chunk_size=chunk_size,
        on_rejected=on_rejected,
    )


def ingest_lines(
    database: Database,
    lines: Iterable[SourceLine],
    *,
    source: str,
    now: datetime,
    provider: str,
    workspace: str | None,
    chunk_size: int = CHUNK_LINES,
    progress: Progress | None = None,
    on_rejected: OnMisfits | None = None,
) -> IngestReport:
    """Take in any source of lines, slice by slice."""
    run = _Run(
        database,
        source,
        provider,
        scope_of(database, workspace),
        now,
        keeps_misfits=on_rejected is None,
    )
    chunks = read_chunks(iter(lines), LineReader(provider, now), chunk_size)
    with ExitStack() as threads:
        # A thread for each lane, so that neither waits for the other's part of a slice.
        writers = [
            threads.enter_context(ThreadPoolExecutor(1)) for _ in range(INGESTION_PARTITIONS)
        ]
        under_way: deque[tuple[EventChunk, list[Future[Taken]]]] = deque()
        for batch in chunks:
            parts = [writers[part.lanes[0]].submit(run.take, part) for part in batch.parts]
            under_way.append((batch, parts))
            while len(under_way) > SLICES_AHEAD:
                run.finish(*under_way.popleft(), progress, on_rejected)
        while under_way:
            run.finish(*under_way.popleft(), progress, on_rejected)
    return run.report


class _Run:
    """The way of one source's slices into the database; several threads may `take` at a time."""

    def __init__(
        self,
        database: Database,
        source: str,
        provider: str,
        scope: Scope,
        now: datetime,
        *,
        keeps_misfits: bool,
    ) -> None:
        self._database = database
        self._keeps_misfits = keeps_misfits
        self._source = source
        self._provider = provider
        self._scope = scope
        self._now = now
        self._months_ready: set[str] = set()
        self.report = IngestReport(source)

    def finish(
        self,
        batch: EventChunk,
        parts: Iterable[Future[Taken]],
        progress: Progress | None,
        on_rejected: OnMisfits | None,
    ) -> None:
        """Wait until a slice is in the database, and count it."""
        for part in parts:
            taken = part.result()
            self.report.count(taken)
            if on_rejected and taken.misfits:
                on_rejected(taken.misfits)
        self.report.lines += batch.lines
        self.report.chunks += 1
        if progress:
            progress(f"{self.report.lines:,} lines read, {self.report.accepted:,} events taken")

    def take(self, part: ChunkPart) -> Taken:
        """Take in a part of a slice in one transaction; if it holds a value that only the database
        could find fault with, in several, so that the fault costs one line.
        """
        try:
            return self._take_whole(part)
        except (DataRejected, ConstraintViolated):
            if not part.rows:
                raise
            if len(part.rows) == 1:
                refused = (part.rows[0][0], REFUSED)
                return self._take_whole(replace(part, rows=(), misfits=(*part.misfits, refused)))
        one, other = part.halves()
        taken = self.take(one) + self.take(other)
        return taken + self._take_whole(replace(part, rows=())) if part.misfits else taken

    def _take_whole(self, part: ChunkPart) -> Taken:
        def transaction() -> Taken:
            while True:
                try:
                    with self._database.transaction() as connection:
                        return self._write(connection, part)
                except _MonthsMissing as missing:
                    self._prepare_log(missing.months)

        return retry_on_conflict(transaction, is_retried=_is_concurrent)

    def _prepare_log(self, months: Iterable[str]) -> None:
        # In transactions of their own: what attaching a partition locks must be free again soon.
        for month in sorted(months):
            with self._database.transaction() as connection:
                ledger_db.ensure_partitions(connection, datetime.fromisoformat(f"{month}-01T00Z"))

    def _write(self, connection: Connection, part: ChunkPart) -> Taken:
        taken = Taken(misfits=part.misfits)
        if part.rows:
            events_db.stage(connection, (text for _, text in part.rows))
            # Here and not earlier: staging needs nobody's leave.
            events_db.lock(connection, part.lanes)
            batch_id = uuid4()
            unresolved, settled = resolve(
                connection, part.named_by, self._scope, batch_id=batch_id, now=self._now
            )
            if part.months - self._months_ready:
                # Only months of events that are taken: any line may claim any time.
                months = events_db.months_of_arrivals(connection)
                if not all(months.values()):
                    raise _MonthsMissing(months)
                self._months_ready.update(months)
            accepted = events_db.keep_keys(connection, self._now)
            moved, conversions = EventEffects(), 0
            if accepted:
                locked = lock_affected_states(connection)
                if part.may_convert:
                    conversions = events_db.add_conversions(connection)
                events_db.log(connection, self._now)
                events_db.apply_to_outcomes(connection)
                events_db.apply_to_assignments(connection)
                moved = apply_event_effects(
                    connection, locked, batch_id=batch_id, source=self._provider, now=self._now
                )
            taken = Taken(accepted, (*part.misfits, *unresolved), moved, settled, conversions)
        if self._keeps_misfits:
            self._keep_aside(connection, taken.misfits, part.source_lines)
        return taken

    def _keep_aside(
        self,
        connection: Connection,
        misfits: Sequence[RejectedLine],
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


def _is_concurrent(error: Exception) -> bool:
    """Return whether a second try can succeed.

    One event, identified by its message in one partition and by an address in another, may be
    ingested by both at once; the second try finds a duplicate.
    """
    return is_conflict(error) or (
        isinstance(error, ConstraintViolated) and error.table == KEYS_TABLE
    )


class _MonthsMissing(Exception):
    """The log has no partitions for these months yet."""

    def __init__(self, months: Mapping[str, bool]) -> None:
        super().__init__(months)
        self.months = [month for month, has_partition in months.items() if not has_partition]
