"""Take erased persons out of the archive: rewrite its Parquet files, each as a whole or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from drip_pipeline.db.connection import Database
from drip_pipeline.db.privacy import erasures as erasures_db
from drip_pipeline.engine.operations.parquet_archive import (
    CAMPAIGN_EVENTS,
    CONTACT_EVENTS,
    write_archive,
)
from drip_pipeline.engine.progress import Progress

_BATCH_ROWS: Final = 20_000
_EMPTIED: Final = ("user_agent", "ip_address", "device_type", "location_data")


@dataclass
class ArchiveReport:
    """The files that were rewritten, and those that the database lists and the folder lacks."""

    rewritten: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    """Months that retention is archiving."""


def rewrite_archives(
    database: Database,
    folder: Path,
    erasure_of: Mapping[str, str],
    progress: Progress | None = None,
) -> ArchiveReport:
    """Rewrite the files that have events of these contacts or enrollments, given as {id: erasure}.

    Files beside those that the database lists are rewritten, too.
    """
    report = ArchiveReport()
    with database.transaction(is_read_only=True) as connection:
        listed = erasures_db.archive_files(connection)
    names = {row.file for row in listed if row.file}
    report.unfinished = [str(row.table_name) for row in listed if not row.is_archived]
    report.missing = sorted(name for name in names if not (folder / name).is_file())
    present = {path.name for path in folder.glob("*.parquet") if not path.name.startswith(".")}
    for name in sorted(present):
        if _rewrite(database, folder / name, erasure_of):
            report.rewritten.append(name)
            if progress:
                progress(f"{name}: rewritten")
    return report


def _rewrite(database: Database, path: Path, erasure_of: Mapping[str, str]) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    ids_erased = pa.array(list(erasure_of), type=pa.string())
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if "contact_id" not in names:
            return False
        columns = CAMPAIGN_EVENTS if "enrollment_id" in names else CONTACT_EVENTS
        keys = [name for name in ("contact_id", "enrollment_id") if name in names]
        is_found = False
        for batch in file.iter_batches(columns=keys):
            for key in keys:
                hits = pc.is_in(batch.column(key), value_set=ids_erased)
                # An enrollment's id stays; its rows are done once they have the random id.
                if key == "enrollment_id" and pc.any(hits).as_py():
                    done = pa.array(sorted(set(erasure_of.values())), type=pa.string())
                    hits = pc.and_(
                        hits,
                        pc.invert(pc.is_in(batch.column("contact_id"), value_set=done)),
                    )
                is_found = is_found or bool(pc.any(hits).as_py())
        if not is_found:
            return False
        write_archive(path, columns, _chunks(database, file, erasure_of))
    return True


def _chunks(
    database: Database, file: Any, erasure_of: Mapping[str, str]
) -> Iterator[Sequence[Mapping[str, object]]]:
    for batch in file.iter_batches(_BATCH_ROWS):
        rows: list[dict[str, Any]] = batch.to_pylist()
        matches = [
            (row, erasure)
            for row in rows
            if (
                erasure := erasure_of.get(row["contact_id"])
                or erasure_of.get(row.get("enrollment_id") or "")
            )
        ]
        if matches:
            with database.transaction(is_read_only=True) as connection:
                data = erasures_db.data_of_events(
                    connection,
                    [row["event_type"] for row, _ in matches],
                    [row.get("event_source", "webhook") for row, _ in matches],
                    [row["event_data"] or "{}" for row, _ in matches],
                )
            for (row, erasure), rest in zip(matches, data, strict=True):
                row["contact_id"], row["event_data"] = erasure, rest
                row.update({name: None for name in _EMPTIED if name in row})
        yield rows
