"""Take erased persons out of event files in the landing folder, and out of logs.

A rewritten file is loaded no second time: its new version is recorded before it takes the place of
the old one.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, cast

from drip_pipeline.db.connection import Database, dump_json
from drip_pipeline.db.events import landed_files as landing_db
from drip_pipeline.engine.events.landing_folder import FileSeen, look
from drip_pipeline.engine.privacy.identifiers import Finder
from drip_pipeline.engine.progress import Progress

_PARQUET_MAGIC: Final = b"PAR1"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_BATCH_ROWS: Final = 10_000
_LOG_NAMES: Final = ("*.log", "*.log.[0-9]*", "*.out", "*.err")
_LONGEST_LINE: Final = 1 << 20


def rewrite_landed(
    database: Database, folder: Path, finder: Finder, progress: Progress | None = None
) -> list[str]:
    """Rewrite the files of the landing folder without the lines that name one of the persons.

    Return their paths in the folder. Raises OSError with the name of a file that cannot be written.
    """
    rewritten: list[str] = []
    for file in look(folder):
        path = folder / file.path
        draft = path.with_name(f".{path.name}.new")
        try:
            if not _write_others(path, draft, finder):
                continue
            # The same time: the file is as old as its events.
            os.utime(draft, ns=(file.modified_ns, file.modified_ns))
            _record(database, file, draft)
            draft.replace(path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        rewritten.append(file.path)
        if progress:
            progress(f"{file.path}: rewritten")
    return rewritten


def _record(database: Database, file: FileSeen, draft: Path) -> None:
    with database.transaction() as connection:
        landing_db.record_rewritten(
            connection,
            path=file.path,
            size_bytes=file.size_bytes,
            modified_ns=file.modified_ns,
            new_size=draft.stat().st_size,
        )


def _write_others(path: Path, draft: Path, finder: Finder) -> bool:
    """Write the lines of other persons to `draft`; return whether others are missing from it."""
    draft.unlink(missing_ok=True)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == _PARQUET_MAGIC:
        return _write_parquet(path, draft, finder)
    mode = path.stat().st_mode & 0o7777
    is_packed = magic[:2] == _GZIP_MAGIC
    is_changed = False
    with (
        cast("IO[bytes]", gzip.open(path) if is_packed else path.open("rb")) as source,
        os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as plain,
        cast("IO[bytes]", gzip.open(plain, "wb") if is_packed else plain) as target,
        suppress(EOFError, gzip.BadGzipFile),  # a damaged file ends where it is damaged
    ):
        for line in source:
            if finder.finds(line.decode("utf-8", "replace")):
                is_changed = True
            else:
                target.write(line)
    return is_changed


def _write_parquet(path: Path, draft: Path, finder: Finder) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    is_changed = False
    try:
        with (
            pq.ParquetFile(path) as file,
            pq.ParquetWriter(draft, file.schema_arrow) as writer,
        ):
            for batch in file.iter_batches(_BATCH_ROWS):
                others = [not finder.finds(text) for text in _row_texts(batch)]
                is_changed = is_changed or not all(others)
                writer.write_batch(batch.filter(pa.array(others, type=pa.bool_())))
    except pa.ArrowException:
        return False  # not readable: it was never loaded, and is not rewritten
    draft.chmod(path.stat().st_mode & 0o7777)
    return is_changed


def _row_texts(batch: object) -> Iterator[str]:
    for row in batch.to_pylist():  # type: ignore[attr-defined]
        yield dump_json({name: str(value) for name, value in row.items()}).decode()


def mask_logs(folders: list[Path], finder: Finder) -> list[str]:
    """Overwrite in log files what identifies one of the persons, with asterisks.

    The files keep their length, because the processes that write them append to their ends. Return
    the names of the changed ones.
    """
    changed: list[str] = []
    for path in sorted(
        {p for folder in folders for name in _LOG_NAMES for p in folder.rglob(name)}
    ):
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("r+b") as file:
            position = 0
            is_changed = False
            while line := file.readline(_LONGEST_LINE):
                text = line.decode("latin-1")
                masked = finder.replaced(text, by="")
                if masked != text:
                    file.seek(position)
                    file.write(masked.encode("latin-1"))
                    is_changed = True
                position += len(line)
                file.seek(position)
        if is_changed:
            changed.append(path.name)
    return changed
