"""Ingest provider events: parse, resolve recipients, log each event once, and apply its effects.

One part of a chunk is one transaction: either all of it is stored or nothing, and then it is read
again. An event counts once, regardless of the file, chunk or process that it arrives in. Rejected
lines are stored with the reason. The next chunk is parsed while the database writes earlier ones.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.events import event_names as event_names_db
from drip_pipeline.db.events import goals as goals_db
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.events.ingestion import (
    DUPLICATE,
    INGESTION_PARTITIONS,
    KEYS_TABLE,
    RejectedLine,
)
from drip_pipeline.db.execution import batch_log as batch_log_db
from drip_pipeline.domain.events.soft_bounces import DEFAULT_SOFT_BOUNCES, SoftBounceLimit
from drip_pipeline.engine.campaigns.goals import refused_by_goals
from drip_pipeline.engine.conflict_retry import is_conflict, retry_on_conflict
from drip_pipeline.engine.erased_addresses import erase_arrivals
from drip_pipeline.engine.events.chunking import ChunkPart, EventChunk, read_chunks
from drip_pipeline.engine.events.event_parser import EventParser
from drip_pipeline.engine.events.file_reader import SourceLine, lines_of, read_lines
from drip_pipeline.engine.events.resolve_recipients import (
    Refusals,
    resolve_recipients,
    scope_of,
    take_refusals,
)
from drip_pipeline.engine.events.resume_waiting import (
    EventEffects,
    apply_event_effects,
    apply_topic_events,
    lock_affected_states,
)
from drip_pipeline.engine.isolation import is_of_the_data
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import ConstraintViolated, DataRejected

DEFAULT_PROVIDER: Final = "generic"
CHUNK_LINES: Final = 50_000
CHUNKS_AHEAD: Final = 2
"""How many chunks may be in progress in the database while the next one is parsed."""
REFUSED: Final = "the database refused a value"
OnRejected: TypeAlias = Callable[[Sequence[RejectedLine]], None]
"""Called with the lines that are not ingested, duplicates included, instead of storing them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """How the lines of one source are ingested.

    `source` names the source in reports and in `rejected_events`, `provider` the issuer of the
    event ids. `workspace`, a name or id, restricts the events to a workspace; without one, events
    of all are ingested, and an address without a campaign needs that there is only one.
    `is_retried`: lines of unknown messages will be ingested again.
    """

    source: str
    now: datetime
    provider: str = DEFAULT_PROVIDER
    workspace: str | None = None
    chunk_size: int = CHUNK_LINES
    progress: Progress | None = None
    on_rejected: OnRejected | None = None
    soft_bounces: SoftBounceLimit = DEFAULT_SOFT_BOUNCES
    is_retried: bool = False


@dataclass(frozen=True, slots=True)
class PartResult:
    """The result of a part of a chunk."""

    accepted: int = 0
    rejected: Sequence[RejectedLine] = ()
    effects: EventEffects = field(default_factory=EventEffects)
    settled: int = 0
    conversions: int = 0

    def __add__(self, other: PartResult) -> PartResult:
        return PartResult(
            self.accepted + other.accepted,
            (*self.rejected, *other.rejected),
            self.effects + other.effects,
            self.settled + other.settled,
            self.conversions + other.conversions,
        )


@dataclass
class IngestReport:
    """The result of a source: lines = accepted + duplicates + rejected.

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

    def count(self, result: PartResult) -> None:
        """Add the result of a part."""
        self.accepted += result.accepted
        self.resumed += result.effects.resumed
        self.ended += result.effects.ended
        self.suppressed += result.effects.suppressed
        self.settled += result.settled
        self.conversions += result.conversions
        for reason, lines in Counter(line.reason for line in result.rejected).items():
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
    progress: Progress | None = None,
    soft_bounces: SoftBounceLimit = DEFAULT_SOFT_BOUNCES,
) -> IngestReport:
    """Ingest an event file: NDJSON (plain or gzip) or Parquet. For the options see IngestOptions.

    Raises ImportFileError for an unreadable file, NotFound for an unknown workspace.
    """
    options = IngestOptions(
        source=path.name,
        now=now,
        provider=provider,
        workspace=workspace,
        progress=progress,
        soft_bounces=soft_bounces,
    )
    return ingest_lines(database, read_lines(path), options)


def ingest_events(
    database: Database,
    events: Iterable[Mapping[str, object]],
    *,
    source: str,
    now: datetime,
    provider: str = DEFAULT_PROVIDER,
    workspace: str | None = None,
    chunk_size: int = CHUNK_LINES,
    soft_bounces: SoftBounceLimit = DEFAULT_SOFT_BOUNCES,
) -> IngestReport:
    """Ingest events in memory, each with the keys of a line of an events file."""
    options = IngestOptions(
        source=source,
        now=now,
        provider=provider,
        workspace=workspace,
        chunk_size=chunk_size,
        soft_bounces=soft_bounces,
    )
    return ingest_lines(database, lines_of(events), options)


def ingest_lines(
    database: Database, lines: Iterable[SourceLine], options: IngestOptions
) -> IngestReport:
    """Ingest the lines of any source, chunk by chunk. Raises NotFound for an unknown workspace."""
    ingestion = _SourceIngestion(database, options)
    parser = EventParser(options.provider, options.now)
    with ExitStack() as threads:
        # One thread per partition, so that no partition waits for the other's part of a chunk.
        writers = [
            threads.enter_context(ThreadPoolExecutor(1)) for _ in range(INGESTION_PARTITIONS)
        ]
        in_progress: deque[tuple[EventChunk, list[Future[PartResult]]]] = deque()
        for chunk in read_chunks(iter(lines), parser, options.chunk_size):
            results = [
                writers[part.partitions[0]].submit(ingestion.write, part) for part in chunk.parts
            ]
            in_progress.append((chunk, results))
            while len(in_progress) > CHUNKS_AHEAD:
                ingestion.finish(*in_progress.popleft())
        while in_progress:
            ingestion.finish(*in_progress.popleft())
    return ingestion.report


class _SourceIngestion:
    """Writes the chunks of one source into the database; several threads may call `write`."""

    def __init__(self, database: Database, options: IngestOptions) -> None:
        self._database = database
        self._options = options
        self._now = options.now
        self._scope = scope_of(database, options.workspace)
        self._months_ready: set[str] = set()
        self.report = IngestReport(options.source)

    def finish(self, chunk: EventChunk, results: Iterable[Future[PartResult]]) -> None:
        """Wait until a chunk is written, and count it."""
        options = self._options
        for future in results:
            result = future.result()
            self.report.count(result)
            if options.on_rejected and result.rejected:
                options.on_rejected(result.rejected)
        self.report.lines += chunk.lines
        self.report.chunks += 1
        if options.progress:
            options.progress(
                f"{self.report.lines:,} lines read, {self.report.accepted:,} events accepted"
            )

    def write(self, part: ChunkPart) -> PartResult:
        """Write a part in one transaction.

        If a value cannot be written, bisect the part until the line with the value is isolated and
        rejected.
        """
        try:
            return self._write_whole(part)
        except Exception as error:
            if not part.events or not is_of_the_data(error):
                raise
            if len(part.events) == 1:
                refused = RejectedLine(part.events[0].line_number, _refusal(error))
                return self._write_whole(
                    replace(part, events=(), rejected=(*part.rejected, refused))
                )
        first, second = part.halves()
        result = self.write(first) + self.write(second)
        return result + self._write_whole(replace(part, events=())) if part.rejected else result

    def _write_whole(self, part: ChunkPart) -> PartResult:
        def transaction() -> PartResult:
            while True:
                try:
                    with self._database.transaction() as connection:
                        return self._write(connection, part)
                except _MonthsMissing as missing:
                    self._create_partitions(missing.months)

        return retry_on_conflict(transaction, is_retried=_is_concurrent)

    def _create_partitions(self, months: Iterable[str]) -> None:
        # In transactions of their own, because attaching a partition takes locks on the log.
        for month in sorted(months):
            with self._database.transaction() as connection:
                batch_log_db.ensure_partitions(
                    connection, datetime.fromisoformat(f"{month}-01T00Z")
                )
            # Without a partition, if the log is locked: the rows go to the default partition.
            self._months_ready.add(month)

    def _write(self, connection: Connection, part: ChunkPart) -> PartResult:
        result = PartResult(rejected=part.rejected)
        if part.events:
            result = self._write_events(connection, part)
        if self._options.on_rejected is None:
            self._store_rejected(connection, result.rejected, part.source_lines)
        return result

    def _write_events(self, connection: Connection, part: ChunkPart) -> PartResult:
        events_db.stage(connection, part.events)
        # After staging, which needs no lock.
        events_db.lock(connection, part.partitions)
        batch_id = uuid4()
        unresolved, settled = resolve_recipients(
            connection, part.identified_by, self._scope, batch_id=batch_id, now=self._now
        )
        refusals = Refusals(unresolved)
        if part.may_suppress:
            refusals = take_refusals(
                connection,
                unresolved,
                self._scope,
                source=self._options.provider,
                now=self._now,
                is_retried=self._options.is_retried,
            )
        rejected = (*part.rejected, *refusals.rejected)
        if part.months - self._months_ready:
            # Only months of resolved events: a rejected line may claim any time.
            months = events_db.months_of_arrivals(connection)
            if not all(months.values()):
                raise _MonthsMissing(months)
            self._months_ready.update(months)
        erase_arrivals(connection)
        stored = events_db.insert_keys(connection, self._now)
        accepted = stored + refusals.without_contact - refusals.extra_events
        suppressed = EventEffects(suppressed=refusals.suppressed)
        if not stored:
            return PartResult(accepted, rejected, suppressed, settled)
        locked = lock_affected_states(connection)
        conversions = 0
        refused: list[tuple[UUID, str]] = []
        if part.may_convert:
            if locked.has_narrowed_goals:
                refused = refused_by_goals(connection, goals_db.candidates(connection), self._now)
            conversions = goals_db.add_conversions(connection, refused)
        if part.has_own_names:
            event_names_db.register(connection)
        events_db.log(connection, self._now)
        events_db.update_outcomes(connection)
        events_db.update_assignments(connection)
        effects = apply_event_effects(
            connection,
            locked,
            batch_id=batch_id,
            source=self._options.provider,
            now=self._now,
            soft_bounces=self._options.soft_bounces,
            may_suppress=part.may_suppress,
            refused_goals=refused if part.may_convert and locked.has_goals_that_exit else None,
        )
        if part.has_topics:
            effects += apply_topic_events(connection, batch_id=batch_id, now=self._now)
        return PartResult(accepted, rejected, effects + suppressed, settled, conversions)

    def _store_rejected(
        self,
        connection: Connection,
        rejected: Sequence[RejectedLine],
        source_lines: Mapping[int, SourceLine],
    ) -> None:
        rows = [
            (line, source_lines[line.line_number].text())
            for line in rejected
            if line.reason != DUPLICATE
        ]
        if rows:
            events_db.store_rejected(
                connection,
                rows,
                workspace_id=self._scope.default,
                source=self._options.source,
                provider=self._options.provider,
                now=self._now,
            )


def _refusal(error: Exception) -> str:
    """Return why an event could not be written."""
    if isinstance(error, (DataRejected, ConstraintViolated)):
        return REFUSED
    return f"the event could not be written ({type(error).__name__})"


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
