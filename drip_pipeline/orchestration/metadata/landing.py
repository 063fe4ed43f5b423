"""What a run of the landing job says of itself, and how a sensor tells files that are ready. File
names and counts, never a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from typing import Any, Final

import dagster as dg

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events.landed_files import LandedFile
from drip_pipeline.engine.events.landing_folder import (
    FileSeen,
    look,
    not_loaded,
    steady,
)
from drip_pipeline.orchestration.metadata.common import counts, table
from drip_pipeline.orchestration.metadata.run import EVENT_LOG
from drip_pipeline.settings import Settings

LANDED_FILES: Final = dg.AssetKey("landed_files")
MOST_FILES: Final = 200
MOST_BYTES: Final = 2_000_000_000
"""A run takes no further file beyond these; one that is larger by itself has a run of its own."""

_COLUMNS: Final = (
    "path",
    "outcome",
    "lines",
    "accepted",
    "duplicates",
    "set_aside",
    "size_bytes",
    "duration_ms",
    "error",
)


@dataclass(frozen=True, slots=True)
class PendingFiles:
    """What lies in the folder and is not loaded: `ready` for a run, and `unsteady`, seen for the
    first time or changed since the look before.
    """

    ready: Sequence[FileSeen]
    unsteady: Sequence[FileSeen]

    def portion(self) -> dict[str, str]:
        """What one run is to load, oldest first: {path: identity}."""
        sizes = accumulate(file.size_bytes for file in self.ready)
        chosen = [
            file
            for number, (file, total) in enumerate(zip(self.ready, sizes, strict=True))
            if number == 0 or (number < MOST_FILES and total <= MOST_BYTES)
        ]
        return {file.path: file.identity for file in chosen}

    def seen(self) -> dict[str, str]:
        """What the next look compares with: {path: identity}."""
        return {file.path: file.identity for file in (*self.ready, *self.unsteady)}

    def told(self) -> str:
        """One line for a skip reason."""
        if not (self.ready or self.unsteady):
            return "no file in the landing folder that is not loaded"
        return f"{len(self.ready):,} files ready, {len(self.unsteady):,} to be looked at once more"


def pending_files(database: Database, earlier: Mapping[str, str]) -> PendingFiles:
    """Look into the landing folder, changing nothing; `earlier` is what the look before `seen`."""
    left = not_loaded(database, look(Settings.from_env().landing_folder()))
    ready = steady(left, earlier)
    same = set(ready)
    return PendingFiles(ready, [file for file in left if file not in same])


def run_key(files: Mapping[str, str], attempt: str) -> str:
    """The same files after the same run are asked for once, however often a tick is repeated."""
    told = "\n".join(f"{path}\t{identity}" for path, identity in sorted(files.items()))
    return sha256(f"{attempt}\n{told}".encode()).hexdigest()[:32]


def loaded_metadata(files: Sequence[LandedFile]) -> dict[str, Any]:
    """The figures of the files of a run."""
    rejected = sum((Counter(file.rejected) for file in files), Counter[str]())
    rows = [
        {
            "set_aside": sum(file.rejected.values()),
            **{name: getattr(file, name) for name in _COLUMNS if name != "set_aside"},
        }
        for file in files
    ]
    return {
        "files": len(files),
        "lines": sum(file.lines for file in files),
        "events": sum(file.accepted for file in files),
        "duplicates": sum(file.duplicates for file in files),
        "set_aside": counts(dict(rejected), "reason", "lines"),
        "people_woken": sum(file.resumed for file in files),
        "runs_ended": sum(file.ended for file in files),
        "contacts_suppressed": sum(file.suppressed for file in files),
        "duration_seconds": sum(file.duration_ms for file in files) / 1_000,
        "preview": table(rows, _COLUMNS),
    }


def report_loaded(context: dg.OpExecutionContext, files: Sequence[LandedFile]) -> None:
    """The figures of a run on its step, on the files and on the event log. Files that could not be
    read are named by a failure; they stand in the ledger and are not tried again as they are.
    """
    figures = loaded_metadata(files)
    context.add_output_metadata(figures)
    if not files:
        return
    context.log_event(
        dg.AssetMaterialization(
            LANDED_FILES, description="Files read by this run.", metadata=figures
        )
    )
    if figures["events"]:
        context.log_event(
            dg.AssetMaterialization(
                EVENT_LOG,
                description="Events that came in by file.",
                metadata={"events": figures["events"], "files": figures["files"]},
            )
        )
    faulty = [file for file in files if file.outcome != "loaded"]
    if faulty:
        named = "; ".join(f"{file.path}: {file.error}" for file in faulty[:10])
        raise dg.Failure(
            f"{len(faulty):,} of {len(files):,} files could not be read to their end: {named}",
            metadata={
                **figures,
                "what_to_do": "Put a whole file in the place of each: it is read when it has "
                "changed. What was read counts, once.",
            },
            allow_retries=False,
        )
