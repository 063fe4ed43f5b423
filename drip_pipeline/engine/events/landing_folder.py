"""The landing folder: event files from providers and exports.

In `landing/<provider>/…` the folder names the issuer of the event ids. Each version of a file
(path, size, modification time) is loaded once, and its result is stored in `landed_files`, even if
it failed. An unreadable file is reported by name and does not stop the others. Files are never
changed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import landed_files as landing_db
from drip_pipeline.db.events.landed_files import FileOutcome, LandedFile
from drip_pipeline.domain.events.soft_bounces import DEFAULT_SOFT_BOUNCES, SoftBounceLimit
from drip_pipeline.engine.events.file_reader import SourceLine, read_lines
from drip_pipeline.engine.events.ingest import (
    DEFAULT_PROVIDER,
    IngestOptions,
    IngestReport,
    ingest_lines,
)
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
"""Suffixes that programs give to files that they are still writing."""
# Any other database error is not caused by the file: the file is read again later.
_FILE_ERRORS: Final = (DataRejected, ConstraintViolated)


@dataclass(frozen=True, slots=True, order=True)
class FileSeen:
    """A file at the time of a scan: its path within the folder, with forward slashes."""

    path: str
    size_bytes: int
    modified_ns: int

    @property
    def identity(self) -> str:
        """Size and modification time: identifies the version of the file at its path."""
        return f"{self.size_bytes}:{self.modified_ns}"

    @property
    def provider(self) -> str:
        """The first folder of the path; `generic` for a file at the top."""
        folder, slash, _ = self.path.partition("/")
        return folder if slash else DEFAULT_PROVIDER


def look(folder: Path) -> list[FileSeen]:
    """Return the files of the folder, by modification time.

    Hidden files, links, empty files and unfinished names are skipped. A missing folder is empty.
    """
    return sorted(_walk(folder), key=lambda file: (file.modified_ns, file.path))


def _walk(folder: Path) -> Iterator[FileSeen]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_skipped(name))
        for name in names:
            if _is_skipped(name):
                continue
            path = Path(parent, name)
            try:
                status = path.lstat()
            except OSError:
                continue  # removed meanwhile
            if stat.S_ISREG(status.st_mode) and status.st_size:
                name_in_folder = path.relative_to(folder).as_posix()
                yield FileSeen(name_in_folder, status.st_size, status.st_mtime_ns)


def _is_skipped(name: str) -> bool:
    # PostgreSQL cannot store a name that is not UTF-8; a leading _ marks markers (_SUCCESS).
    return (
        name.startswith((".", "_"))
        or name.lower().endswith(UNFINISHED_NAMES)
        or not name.isprintable()
    )


def steady(files: Iterable[FileSeen], earlier: Mapping[str, str]) -> list[FileSeen]:
    """Return the files that have not changed since an earlier scan, {path: identity}."""
    return [file for file in files if earlier.get(file.path) == file.identity]


def not_loaded(database: Database, files: Sequence[FileSeen]) -> list[FileSeen]:
    """Return the files that are not loaded yet, in their order."""
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
    requested: Mapping[str, str],
    *,
    now: datetime,
    run_id: str | None = None,
    workspace: str | None = None,
    progress: Progress | None = None,
    soft_bounces: SoftBounceLimit = DEFAULT_SOFT_BOUNCES,
) -> Iterator[LandedFile]:
    """Load the files of {path: identity} that are unchanged and not loaded meanwhile.

    Errors of a file are part of its result. Raises DatabaseError for errors of the database, and
    NotFound or NotAllowed for the workspace.
    """
    if workspace is not None:
        scope_of(database, workspace)  # an unknown workspace is not an error of a file
    unchanged = [file for file in look(folder) if requested.get(file.path) == file.identity]
    for file in unchanged:
        if not_loaded(database, [file]):
            options = IngestOptions(
                source=file.path,
                now=now,
                provider=file.provider,
                workspace=workspace,
                progress=_prefixed(progress, file.path) if progress else None,
                soft_bounces=soft_bounces,
            )
            yield _load(database, folder, file, options, run_id)


def _prefixed(progress: Progress, path: str) -> Progress:
    return lambda text: progress(f"{path}: {text}")


def _load(
    database: Database, folder: Path, file: FileSeen, options: IngestOptions, run_id: str | None
) -> LandedFile:
    began = perf_counter()
    lines = _ReadableLines(folder / file.path)
    report = IngestReport(file.path)
    error: str | None = None
    outcome: FileOutcome = "loaded"
    try:
        report = ingest_lines(database, lines.read(), options)
        if lines.error is not None:
            outcome, error = "unreadable", lines.error
    except Exception as fault:
        if isinstance(fault, DatabaseError) and not isinstance(fault, _FILE_ERRORS):
            raise
        # The text of a foreign error may quote a line; its class name does not.
        message = str(fault) if isinstance(fault, DripError) else type(fault).__name__
        outcome, error = "failed", redact(message)
    result = LandedFile(
        path=file.path,
        size_bytes=file.size_bytes,
        provider=file.provider,
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
        run_id=run_id,
        loaded_at=options.now,
    )
    with database.transaction() as connection:
        landing_db.record(connection, result, modified_ns=file.modified_ns)
    return result


class _ReadableLines:
    """The lines of a file up to the first damage, which is stored in `error`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.error: str | None = None

    def read(self) -> Iterator[SourceLine]:
        """Yield the lines that can be read."""
        try:
            yield from read_lines(self._path)
        except ImportFileError as error:
            self.error = error.problem


def recent_files(database: Database, limit: int) -> list[LandedFile]:
    """Return the files loaded last, newest first."""
    with database.transaction(is_read_only=True) as connection:
        return landing_db.recent(connection, limit)
