"""Contacts in bulk: the rows of an imported file staged by COPY, and merged into `contacts` a slice
of lines at a time. Changes that campaigns make to contacts are in `facts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.bulk_copy import copy_rows
from drip_pipeline.db.connection import Connection

StagedContact: TypeAlias = tuple[
    int,
    str,
    str | None,
    str | None,
    str | None,
    str | None,
    int | None,
    str | None,
    list[str] | None,
    str,
    datetime | None,
    bool,
]
"""A row of a file, in the order of STAGED_COLUMNS; `custom_fields` is JSON text."""

STAGED_COLUMNS: Final = (
    "line_number",
    "email",
    "name",
    "company",
    "phone",
    "job_title",
    "ai_score",
    "status",
    "tags",
    "custom_fields",
    "last_interaction",
    "is_unsubscribed",
)


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a slice: new people, changed ones, those who were so already, newly
    unsubscribed ones.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    unsubscribed: int = 0

    def __add__(self, other: Merged) -> Merged:
        return Merged(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.unsubscribed + other.unsubscribed,
        )


def stage(connection: Connection, rows: Iterable[StagedContact]) -> int:
    """Load rows into a table of this connection's own, which must stay open until they are merged;
    their number.
    """
    queries.run(connection, "create_imported_contacts")
    count = copy_rows(connection, "imported_contacts", STAGED_COLUMNS, rows)
    queries.run(connection, "analyze_imported_contacts")
    return count


def set_aside_repeated(
    connection: Connection, workspace_id: UUID, *, source: str, now: datetime
) -> int:
    """Keep the last row of each address and note the others as rejected; how many."""
    return queries.run(
        connection,
        "set_aside_repeated_contacts",
        workspace_id=workspace_id,
        source=source,
        now=now,
    )


def merge(
    connection: Connection,
    workspace_id: UUID,
    *,
    first_line: int,
    last_line: int,
    now: datetime,
) -> Merged:
    """Merge the staged rows of these lines into the workspace's contacts."""
    lines = {"workspace_id": workspace_id, "first_line": first_line, "last_line": last_line}
    # New ones first: whoever was inserted by somebody else in between is then updated.
    inserted = queries.run(connection, "insert_imported_contacts", **lines, now=now)
    updated = queries.run(connection, "update_imported_contacts", **lines, now=now)
    unsubscribed = queries.run(connection, "suppress_imported_contacts", **lines, now=now)
    rows = int(
        queries.scalar(
            connection, "imported_contacts_between", first_line=first_line, last_line=last_line
        )
    )
    return Merged(inserted, updated, rows - inserted - updated, unsubscribed)


def forget_rejected(connection: Connection, workspace_id: UUID, source: str) -> int:
    """Remove what an earlier import of this file set aside."""
    return queries.run(
        connection, "forget_rejected_contacts", workspace_id=workspace_id, source=source
    )


def keep_rejected(
    connection: Connection,
    workspace_id: UUID,
    rows: Sequence[tuple[int, str]],
    *,
    source: str,
    now: datetime,
) -> int:
    """Keep (line, reason) of rows that could not be taken."""
    return queries.run(
        connection,
        "keep_rejected_contacts",
        workspace_id=workspace_id,
        source=source,
        line_numbers=[line for line, _ in rows],
        reasons=[reason for _, reason in rows],
        now=now,
    )
