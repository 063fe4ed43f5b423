"""Campaigns as rows: finding, listing, counting, changing a status. Publishing has
its own module.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class NodePopulation(NamedTuple):
    """Workflow states at one node with one status."""

    node_id: str
    status: str
    people: int


def find(connection: Connection, *, campaign_id: UUID | None, name: str) -> list[dict[str, Any]]:
    """Campaigns with this id or exact name; archived ones last."""
    return queries.rows(connection, "find_campaigns", id=campaign_id, wanted=name)


def lock_for_entry(connection: Connection, campaign_id: UUID) -> tuple[str, int | None] | None:
    """(status, published version), held until the transaction ends; None when it is gone."""
    found = queries.tuples(connection, "lock_campaign_for_entry", campaign_id=campaign_id)
    return (found[0][0], found[0][1]) if found else None


def listed(connection: Connection, workspace: str | None = None) -> list[dict[str, Any]]:
    """All campaigns, or those of the workspace of that name, with their people by state."""
    return queries.rows(connection, "list_campaigns", workspace=workspace)


def count_by_node(connection: Connection, campaign_id: UUID) -> list[NodePopulation]:
    """Count the workflow states of a campaign per node and status, all versions together."""
    return queries.records(connection, "people_by_node", NodePopulation, campaign_id=campaign_id)


def passed_by_node(connection: Connection, campaign_id: UUID) -> dict[str, int]:
    """How many people have passed each node."""
    return {
        row[0]: row[1]
        for row in queries.tuples(connection, "people_passed_by_node", campaign_id=campaign_id)
    }


def lock(connection: Connection, campaign_id: UUID) -> None:
    """Hold a campaign until the transaction ends."""
    queries.run(connection, "hold_campaign", campaign_id=campaign_id)


def set_status(
    connection: Connection,
    campaign_id: UUID,
    status: str,
    *,
    from_statuses: Sequence[str],
    now: datetime,
) -> bool:
    """Change the status if it is one of `from_statuses`; whether it was."""
    return bool(
        queries.run(
            connection,
            "set_campaign_status",
            campaign_id=campaign_id,
            status=status,
            from_statuses=list(from_statuses),
            now=now,
        )
    )


def snapshot_archived(connection: Connection, campaign_id: UUID, now: datetime) -> UUID:
    """Keep the campaign as it was archived in its history; the id of that version."""
    made: UUID = queries.scalar(
        connection, "snapshot_archived_campaign", campaign_id=campaign_id, now=now
    )
    return made


def batch(connection: Connection, batch_id: UUID) -> dict[str, Any] | None:
    """A batch of the ledger: id, kind, outcome, size."""
    return queries.one(connection, "batch_of_ledger", batch_id=batch_id)
