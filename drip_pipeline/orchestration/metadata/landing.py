"""Metadata of the job that loads event files, and the choice of files that are ready to load.

Metadata has file names and counts, never a line of a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from typing import Final

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events.landed_files import LandedFile
from drip_pipeline.engine.events.landing_folder import (
    FileSeen,
    look,
    not_loaded,
    steady,
)
from drip_pipeline.orchestration.metadata.common import Metadata, counts, table
from drip_pipeline.orchestration.metadata.run import EVENT_LOG
from drip_pipeline.settings import Settings

LANDED_FILES: Final = dg.AssetKey("landed_files")
MAX_FILES: Final = 200
MAX_BYTES: Final = 2_000_000_000
"""A run takes no further file above these limits. A larger file has a run of its own."""

_COLUMNS: Final = (
    "path",
    "outcome",
    "lines",
    "accepted",
    "duplicates",
    "rejected",
    "size_bytes",
    "duration_ms",
    "error",
)


@dataclass(frozen=True, slots=True)
class PendingFiles:
    """Files that are not loaded: `ready` to load, or `unsteady` (new or changed recently)."""

    ready: Sequence[FileSeen]
    unsteady: Sequence[FileSeen]

    def next_files(self) -> dict[str, str]:
        """Return the files of the next run, oldest first: {path: identity}."""
        sizes = accumulate(file.size_bytes for file in self.ready)
        chosen = [
            file
            for number, (file, total) in enumerate(zip(self.ready, sizes, strict=True))
            if number == 0 or (number < MAX_FILES and total <= MAX_BYTES)
        ]
        return {file.path: file.identity for file in chosen}

    def identities(self) -> dict[str, str]:
        """Return what the next check compares with: {path: identity}."""
        return {file.path: file.identity for file in (*self.ready, *self.unsteady)}

    def describe(self) -> str:
        """Describe the files in one line for a skip reason."""
        if not (self.ready or self.unsteady):
            return "all files of the landing folder are loaded"
        return f"{len(self.ready):,} files ready, {len(self.unsteady):,} to be checked once more"


def pending_files(database: Database, earlier: Mapping[str, str]) -> PendingFiles:
    """Return the files to load; `earlier` has the `identities` of the last check."""
    left = not_loaded(database, look(Settings.from_env().landing_folder()))
    ready = steady(left, earlier)
    same = set(ready)
    return PendingFiles(ready, [file for file in left if file not in same])


def run_key(files: Mapping[str, str], attempt: str) -> str:
    """Return a key that is equal for the same files after the same run, so that they load once."""
    lines = "\n".join(f"{path}\t{identity}" for path, identity in sorted(files.items()))
    return sha256(f"{attempt}\n{lines}".encode()).hexdigest()[:32]


def loaded_metadata(files: Sequence[LandedFile]) -> Metadata:
    """Return the metadata of the files of a run."""
    rejected = sum((Counter(file.rejected) for file in files), Counter[str]())
    rows = [
        {name: getattr(file, name) for name in _COLUMNS} | {"rejected": sum(file.rejected.values())}
        for file in files
    ]
    return {
        "files": len(files),
        "lines": sum(file.lines for file in files),
        "events": _events(files),
        "duplicates": sum(file.duplicates for file in files),
        "rejected": counts(dict(rejected), "reason", "lines"),
        "waits_resumed": sum(file.resumed for file in files),
        "enrollments_ended": sum(file.ended for file in files),
        "contacts_suppressed": sum(file.suppressed for file in files),
        "duration_seconds": sum(file.duration_ms for file in files) / 1_000,
        "preview": table(rows, _COLUMNS),
    }


def report_loaded(context: dg.OpExecutionContext, files: Sequence[LandedFile]) -> None:
    """Report the files of a run on its step, on the files' asset and on the event log.

    Raises Failure with the names of files that could not be read. They are recorded and are not
    loaded again until they change.
    """
    metadata = loaded_metadata(files)
    context.add_output_metadata(metadata)
    if not files:
        return
    context.log_event(
        dg.AssetMaterialization(
            LANDED_FILES, description="Files read by this run.", metadata=metadata
        )
    )
    if events := _events(files):
        context.log_event(
            dg.AssetMaterialization(
                EVENT_LOG,
                description="Events loaded from files.",
                metadata={"events": events, "files": len(files)},
            )
        )
    faulty = [file for file in files if file.outcome != "loaded"]
    if faulty:
        names = "; ".join(f"{file.path}: {file.error}" for file in faulty[:10])
        raise dg.Failure(
            f"{len(faulty):,} of {len(files):,} files could not be read completely: {names}",
            metadata={
                **metadata,
                "what_to_do": "Replace each file with a complete one: it is loaded when it has"
                " changed. Events that were read count once.",
            },
            allow_retries=False,
        )


def _events(files: Sequence[LandedFile]) -> int:
    return sum(file.accepted for file in files)
