"""The ledger of files from the landing folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, dump_json


def not_landed(connection: Connection, files: Sequence[tuple[str, int, int]]) -> list[int]:
    """The indices of the files, (path, size, time of change), that were never read."""
    found = queries.tuples(
        connection,
        "files_not_landed",
        paths=[file[0] for file in files],
        sizes=[file[1] for file in files],
        times=[file[2] for file in files],
    )
    return [row[0] - 1 for row in found]


def record(
    connection: Connection, *, rejected: Mapping[str, int], now: datetime, **columns: Any
) -> None:
    """Write down what came of a file; columns as the table has them."""
    queries.run(
        connection,
        "record_landed_file",
        rejected=dump_json(rejected).decode(),
        now=now,
        **columns,
    )


def recent(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The files read last, newest first."""
    return queries.rows(connection, "landed_files", row_limit=limit)
