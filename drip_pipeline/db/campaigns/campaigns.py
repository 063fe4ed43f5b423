"""Campaigns: find, list, count per node, lock, change the status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class CampaignRow(NamedTuple):
    """A campaign with the name of its workspace and its `drip_settings`.

    `is_demo`: it is in a workspace that the demo created.
    """

    id: UUID
    workspace_id: UUID
    workspace: str
    name: str
    status: str
    campaign_type: str | None
    version: int | None
    published_version: int | None
    settings: Mapping[str, Any] | None
    is_demo: bool


class EntryStatus(NamedTuple):
    """A campaign's status, and the version that new enrollments enter."""

    status: str
    published_version: int | None


class ListedCampaign(NamedTuple):
    """A campaign with its enrollments by status."""

    id: UUID
    name: str
    workspace: str
    status: str
    campaign_type: str | None
    version: int | None
    active: int
    completed: int
    exited: int
    failed: int
    updated_at: datetime | None
    cloned_from: str | None


class NodePopulation(NamedTuple):
    """Workflow states at one node with one status."""

    node_id: str
    status: str
    states: int


class NodePassed(NamedTuple):
    """Workflow states that have passed one node."""

    node_id: str
    states: int


class LoggedBatch(NamedTuple):
    """A row of the batch log."""

    id: UUID
    kind: str
    outcome: str
    size: int


def find(connection: Connection, *, campaign_id: UUID | None, name: str) -> list[CampaignRow]:
    """Return campaigns with this id or exact name, archived ones last."""
    return queries.records(connection, "find_campaigns", CampaignRow, id=campaign_id, name=name)


def lock_for_entry(connection: Connection, campaign_id: UUID) -> EntryStatus | None:
    """Lock a campaign for sharing until the transaction ends; None if it does not exist."""
    return queries.record(
        connection, "lock_campaign_for_entry", EntryStatus, campaign_id=campaign_id
    )


def listed(connection: Connection, workspace: str | None = None) -> list[ListedCampaign]:
    """Return all campaigns, or those of the workspace of that name."""
    return queries.records(connection, "list_campaigns", ListedCampaign, workspace=workspace)


def count_by_node(connection: Connection, campaign_id: UUID) -> list[NodePopulation]:
    """Count the workflow states of a campaign per node and status, all versions together."""
    return queries.records(connection, "states_by_node", NodePopulation, campaign_id=campaign_id)


def passed_by_node(connection: Connection, campaign_id: UUID) -> list[NodePassed]:
    """Count the workflow states that have passed each node and are no longer there."""
    return queries.records(connection, "states_passed_by_node", NodePassed, campaign_id=campaign_id)


def lock(connection: Connection, campaign_id: UUID) -> None:
    """Lock a campaign until the transaction ends, against publishing, archiving and migration."""
    queries.run(connection, "lock_campaign_row", campaign_id=campaign_id)


def set_status(
    connection: Connection,
    campaign_id: UUID,
    status: str,
    *,
    from_statuses: Sequence[str],
    now: datetime,
) -> bool:
    """Change the status if it is one of `from_statuses`; return whether it was."""
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


def snapshot_archived(connection: Connection, campaign_id: UUID, now: datetime) -> None:
    """Store the archived campaign as the last version of its history."""
    queries.scalar(connection, "snapshot_archived_campaign", campaign_id=campaign_id, now=now)


def batch(connection: Connection, batch_id: UUID) -> LoggedBatch | None:
    """Return a batch of the batch log."""
    return queries.record(connection, "find_batch", LoggedBatch, batch_id=batch_id)
