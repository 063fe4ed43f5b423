"""Queries of the files loaded from the landing folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json

FileOutcome: TypeAlias = Literal["loaded", "unreadable", "failed"]


class LandedFile(NamedTuple):
    """A loaded file. `rejected` counts lines by reason; `resumed` states, `ended` runs, and
    `suppressed` contacts are effects of its events.
    """

    path: str
    size_bytes: int
    provider: str
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
    run_id: str | None
    loaded_at: datetime


def not_landed(connection: Connection, files: Sequence[tuple[str, int, int]]) -> list[int]:
    """Return the indices of the files, as (path, size, modification time in ns), not yet loaded."""
    positions = queries.column(
        connection,
        "files_not_landed",
        paths=[path for path, _, _ in files],
        sizes=[size_bytes for _, size_bytes, _ in files],
        times=[modified_ns for _, _, modified_ns in files],
    )
    return [position - 1 for position in positions]


def record(connection: Connection, file: LandedFile, *, modified_ns: int) -> None:
    """Store the result of a file; replaces the result of the same version of the file."""
    columns = file._asdict() | {"rejected": dump_json(file.rejected).decode()}
    queries.run(connection, "record_landed_file", modified_ns=modified_ns, **columns)


def recent(connection: Connection, limit: int) -> list[LandedFile]:
    """Return the files loaded last, newest first."""
    return queries.records(connection, "landed_files", LandedFile, row_limit=limit)


def record_rewritten(
    connection: Connection, *, path: str, size_bytes: int, modified_ns: int, new_size: int
) -> int:
    """Record that a loaded file has another size now, at the same time of modification. Return 0 if
    the file is not loaded yet."""
    return queries.run(
        connection,
        "record_rewritten_file",
        path=path,
        size_bytes=size_bytes,
        modified_ns=modified_ns,
        new_size=new_size,
    )
