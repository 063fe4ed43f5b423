"""The landing folder: files of events that providers, exports and people put there.

`landing/<provider>/…` names whose event ids a file has. A file is loaded once: what lies at its
path with that size and time of change is in the ledger afterwards, whatever came of it. One that
cannot be read is told by name and keeps no other waiting. Nothing in the folder is ever changed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Literal

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import landed_files as landing_db
from drip_pipeline.engine.events.file_reader import SourceLine, read_lines
from drip_pipeline.engine.events.ingest import DEFAULT_PROVIDER, IngestReport, ingest_lines
from drip_pipeline.engine.events.resolve_recipients import scope_of
from drip_pipeline.engine.progress import Progress
from drip_pipeline.errors import (
    ConstraintViolated,
    DatabaseError,
    DataRejected,
    DripError,
    ImportFileError,
)
from drip_pipeline.redaction import redact

UNFINISHED_NAMES: Final = (".part", ".tmp", ".temp", ".filepart", ".crdownload", ".swp", "~")
"""Ends of names that programs give to what they are still writing."""
# Any other word of the database is no fault of the file's: it is to be read again.
_FAULTS_OF_A_FILE: Final = (DataRejected, ConstraintViolated)
FileOutcome = Literal["loaded", "unreadable", "failed"]


@dataclass(frozen=True, slots=True, order=True)
class FileSeen:
    """A file as one look found it: its path within the folder, with forward slashes."""

    path: str
    size_bytes: int
    modified_ns: int

    @property
    def identity(self) -> str:
        """What tells it from what lay, or will lie, at the same path."""
        return f"{self.size_bytes}:{self.modified_ns}"

    @property
    def provider(self) -> str:
        """The first folder of the path; a file that lies at the top has none of its own."""
        folder, slash, _ = self.path.partition("/")
        return folder if slash else DEFAULT_PROVIDER


@dataclass(frozen=True, slots=True)
class FileLoaded:
    """What came of a file. `error` is None where it was read to its end; what was read before an
    error counts.
    """

    path: str
    provider: str
    size_bytes: int
    outcome: FileOutcome
    error: str | None
    lines: int
    accepted: int
    duplicates: int
    rejected: Mapping[str, int]
    resumed: int
    ended: int
    suppressed: int
    duration_ms: int


def look(folder: Path) -> list[FileSeen]:
    """The files that are there, by time of change. Hidden ones, links, empty files and names that
    say "unfinished" do not count. A folder that is not there is empty.
    """
    return sorted(_walk(folder), key=lambda file: (file.modified_ns, file.path))


def _walk(folder: Path) -> Iterator[FileSeen]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_passed_over(name))
        for name in names:
            if _is_passed_over(name):
                continue
            path = Path(parent, name)
            try:
                found = path.lstat()
            except OSError:
                continue  # gone between two steps
            if stat.S_ISREG(found.st_mode) and found.st_size:
                place = path.relative_to(folder).as_posix()
                yield FileSeen(place, found.st_size, found.st_mtime_ns)


def _is_passed_over(name: str) -> bool:
    # PostgreSQL could not store a name that is not UTF-8; a leading _ marks bookkeeping (_SUCCESS).
    return (
        name.startswith((".", "_"))
        or name.lower().endswith(UNFINISHED_NAMES)
        or not name.isprintable()
    )


def steady(files: Iterable[FileSeen], earlier: Mapping[str, str]) -> list[FileSeen]:
    """Those that were the same at an earlier look, {path: identity}: nobody is writing them."""
    return [file for file in files if earlier.get(file.path) == file.identity]


def not_loaded(database: Database, files: Sequence[FileSeen]) -> list[FileSeen]:
    """Those that the ledger does not have, in their order."""
    if not files:
        return []
    with database.transaction(is_read_only=True) as connection:
        left = landing_db.not_landed(
            connection, [(file.path, file.size_bytes, file.modified_ns) for file in files]
        )
    return [files[index] for index in left]


def load_files(
    database: Database,
    folder: Path,
    wanted: Mapping[str, str],
    *,
    now: datetime,
    run_id: str | None = None,
    workspace: str | None = None,
    progress: Progress | None = None,
) -> Iterator[FileLoaded]:
    """Load the files of {path: identity} that still lie in the folder as they were seen, and that
    nobody has loaded meanwhile. Only what is wrong with the database stops it.
    """
    if workspace is not None:
        scope_of(database, workspace)  # an unknown one is no fault of a file's
    there = [file for file in look(folder) if wanted.get(file.path) == file.identity]
    for file in there:
        if not_loaded(database, [file]):
            yield _load(database, folder, file, now, run_id, workspace, progress)


def _load(
    database: Database,
    folder: Path,
    file: FileSeen,
    now: datetime,
    run_id: str | None,
    workspace: str | None,
    progress: Progress | None,
) -> FileLoaded:
    began = perf_counter()
    reading = _Reading(folder / file.path)
    report = IngestReport(file.path)
    error: str | None = None
    outcome: FileOutcome = "loaded"
    try:
        report = ingest_lines(
            database,
            reading.lines(),
            source=file.path,
            now=now,
            provider=file.provider,
            workspace=workspace,
            progress=(lambda text: progress(f"{file.path}: {text}")) if progress else None,
        )
        if reading.error is not None:
            outcome, error = "unreadable", reading.error
    except Exception as fault:
        if isinstance(fault, DatabaseError) and not isinstance(fault, _FAULTS_OF_A_FILE):
            raise
        # The text of a foreign error may quote a line; its kind does not.
        told = str(fault) if isinstance(fault, DripError) else type(fault).__name__
        outcome, error = "failed", redact(told)
    loaded = FileLoaded(
        path=file.path,
        provider=file.provider,
        size_bytes=file.size_bytes,
        outcome=outcome,
        error=error,
        lines=report.lines,
        accepted=report.accepted,
        duplicates=report.duplicates,
        rejected=report.rejected,
        resumed=report.resumed,
        ended=report.ended,
        suppressed=report.suppressed,
        duration_ms=round(1_000 * (perf_counter() - began)),
    )
    columns: dict[str, Any] = asdict(loaded)
    with database.transaction() as connection:
        landing_db.record(
            connection, **columns, modified_ns=file.modified_ns, run_id=run_id, now=now
        )
    return loaded


class _Reading:
    """The lines of a file until it turns out to be damaged: those before that count."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.error: str | None = None

    def lines(self) -> Iterator[SourceLine]:
        try:
            yield from read_lines(self._path)
        except ImportFileError as error:
            self.error = error.problem


def recent_files(database: Database, limit: int) -> list[dict[str, Any]]:
    """The files read last, newest first."""
    with database.transaction(is_read_only=True) as connection:
        return landing_db.recent(connection, limit)
