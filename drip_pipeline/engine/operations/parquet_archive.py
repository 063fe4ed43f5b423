"""Write events to Parquet files: streamed, replaced atomically, and read back before any deletion.

Ids and JSON are stored as strings, times in UTC.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from drip_pipeline.db.connection import dump_json
from drip_pipeline.errors import DripError

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_STRING: Final = "string"
CAMPAIGN_EVENTS: Final = {
    "id": _STRING, "campaign_id": _STRING, "enrollment_id": _STRING, "contact_id": _STRING,
    "event_type": _STRING, "event_source": _STRING, "step_id": _STRING, "node_id": _STRING,
    "event_data": _STRING, "user_agent": _STRING, "ip_address": _STRING, "device_type": _STRING,
    "location_data": _STRING, "created_at": "time", "workspace_id": _STRING,
    "campaign_version": "number", "variant_group": _STRING, "message_id": _STRING,
}  # fmt: skip
CONTACT_EVENTS: Final = {
    "id": _STRING, "workspace_id": _STRING, "contact_id": _STRING, "event_type": _STRING,
    "value": _STRING, "currency": _STRING, "event_data": _STRING, "occurred_at": "time",
    "recorded_at": "time",
}  # fmt: skip


def write_archive(
    path: Path,
    columns: Mapping[str, str],
    chunks: Iterable[Sequence[Mapping[str, object]]],
) -> int:
    """Write the rows to `path`, read the file back, and return the number of rows.

    An existing file is replaced as a whole. Only the owner may read the file (mode 0600) and its
    folder (0700), because events contain personal data. Raises DripError if the file does not have
    all rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "string": pa.string(),
        "number": pa.int64(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(FOLDER_MODE)
    draft = path.with_name(f".{path.name}.new")
    written = 0
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for chunk in chunks:
                rows = [
                    {name: _plain(row[name], columns[name]) for name in columns} for row in chunk
                ]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                written += len(rows)
        file.flush()
        os.fsync(file.fileno())
    readable = _rows_in(draft)
    if readable != written:
        raise DripError(
            f"{path.name} has {readable:,} of {written:,} events; nothing was deleted",
            hint="Check the disk of the archive, then run `drip retention run` again.",
        )
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the file name must be as durable as its rows before rows are deleted
    finally:
        os.close(folder)
    return written


def _rows_in(path: Path) -> int:
    """Count the rows that can be read, with all columns."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return sum(batch.num_rows for batch in file.iter_batches())


def _plain(value: object, kind: str) -> object:
    if value is None or kind != _STRING:
        return value
    return dump_json(value).decode() if isinstance(value, (dict, list)) else str(value)
