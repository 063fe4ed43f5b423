"""Events as Parquet files: streamed, complete or not there at all, and read back before anything is
deleted. Ids and JSON are texts, times are UTC.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from drip_pipeline.db.connection import dump_json
from drip_pipeline.errors import DripError

_TEXTS: Final = "string"
CAMPAIGN_EVENTS: Final = {
    "id": _TEXTS, "campaign_id": _TEXTS, "enrollment_id": _TEXTS, "contact_id": _TEXTS,
    "event_type": _TEXTS, "event_source": _TEXTS, "step_id": _TEXTS, "node_id": _TEXTS,
    "event_data": _TEXTS, "user_agent": _TEXTS, "ip_address": _TEXTS, "device_type": _TEXTS,
    "location_data": _TEXTS, "created_at": "time", "workspace_id": _TEXTS,
    "campaign_version": "number", "variant_group": _TEXTS, "message_id": _TEXTS,
}  # fmt: skip
CONTACT_EVENTS: Final = {
    "id": _TEXTS, "workspace_id": _TEXTS, "contact_id": _TEXTS, "event_type": _TEXTS,
    "value": _TEXTS, "currency": _TEXTS, "event_data": _TEXTS, "occurred_at": "time",
    "recorded_at": "time",
}  # fmt: skip


def write_archive(
    path: Path, columns: dict[str, str], chunks: Iterable[list[dict[str, Any]]]
) -> int:
    """Write rows into the file, and read it back; how many. A file of that name is replaced, as a
    whole. Raises DripError when it does not hold what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "string": pa.string(),
        "number": pa.int64(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    written = 0
    with draft.open("wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for chunk in chunks:
                rows = [
                    {name: _plain(row[name], columns[name]) for name in columns} for row in chunk
                ]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                written += len(rows)
        file.flush()
        os.fsync(file.fileno())
    found = _rows_in(draft)
    if found != written:
        raise DripError(
            f"{path.name} holds {found:,} of {written:,} events; nothing was deleted",
            hint="Look at the disk of the archive, then run `drip retention run` again.",
        )
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name is as durable as the rows before anything is deleted
    finally:
        os.close(folder)
    return written


def _rows_in(path: Path) -> int:
    """Rows that can be read, every column of them."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return sum(batch.num_rows for batch in file.iter_batches())


def _plain(value: Any, kind: str) -> Any:
    if value is None or kind != _TEXTS:
        return value
    return dump_json(value).decode() if isinstance(value, (dict, list)) else str(value)
