"""Queries of contacts and enrollments that were stopped because of their own data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class DataFault(NamedTuple):
    """Why an enrollment failed, or why a contact was left out while it was selected, enrolled or
    settled (`enrollment_id` is None). `reason` quotes nothing of the contact.
    """

    contact_id: UUID
    enrollment_id: UUID | None
    campaign_id: UUID | None
    node_id: str | None
    reason: str


class CurrentFault(NamedTuple):
    """A fault that lasts; `total` counts those of its campaign, or of its workspace without one."""

    workspace_id: UUID
    campaign_id: UUID | None
    campaign: str | None
    contact_id: UUID
    enrollment_id: UUID | None
    node_id: str | None
    reason: str
    total: int


def store(connection: Connection, faults: Sequence[DataFault], now: datetime) -> None:
    """Store faults; a later fault of the same enrollment or contact replaces the earlier one."""
    if faults:
        columns = queries.columns(DataFault, faults)
        queries.run(
            connection,
            "store_data_faults",
            now=now,
            **{f"{name}s": values for name, values in columns.items()},
        )


def current(
    connection: Connection, *, since: datetime, shown: int, limit: int
) -> list[CurrentFault]:
    """Return faults of enrollments that are still failed, and of contacts that could not be checked
    after `since`: at most `shown` per campaign, of the `limit` newest."""
    return queries.records(
        connection, "current_data_faults", CurrentFault, since=since, shown=shown, row_limit=limit
    )


def prune(connection: Connection, before: datetime) -> int:
    """Delete faults found before this time, and those that no longer last. Return their number."""
    return queries.run(connection, "prune_data_faults", before=before)
