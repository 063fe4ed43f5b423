"""Contents of files attached to emails."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class StoredAttachment(NamedTuple):
    """A content by its digest (SHA-256 in hexadecimal digits)."""

    digest: str
    content: bytes


def store(
    connection: Connection, workspace_id: UUID, contents: Mapping[str, bytes], now: datetime
) -> None:
    """Store contents by their digests; those that are stored stay."""
    queries.run(
        connection,
        "store_attachments",
        workspace_id=workspace_id,
        digests=list(contents),
        contents=list(contents.values()),
        now=now,
    )


def stored(connection: Connection, workspace_id: UUID, digests: Collection[str]) -> frozenset[str]:
    """Return the digests, of these, whose contents the workspace has."""
    return frozenset(
        queries.column(
            connection, "stored_attachments", workspace_id=workspace_id, digests=list(digests)
        )
    )


def contents(
    connection: Connection, workspace_id: UUID, digests: Collection[str]
) -> dict[str, bytes]:
    """Return contents by their digests."""
    rows = queries.records(
        connection,
        "attachment_contents",
        StoredAttachment,
        workspace_id=workspace_id,
        digests=list(digests),
    )
    return {row.digest: row.content for row in rows}
