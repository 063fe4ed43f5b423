"""The history of a campaign as rows, and where campaigns come from. Writing a new version is
publish.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


def history(connection: Connection, campaign_id: UUID) -> list[dict[str, Any]]:
    """All versions, newest first, with the people who are inside."""
    return queries.rows(connection, "version_history", campaign_id=campaign_id)


def as_written(connection: Connection, campaign_id: UUID, version: int) -> dict[str, Any] | None:
    """What was kept of one version: definition (published ones), and the rows as they stood."""
    return queries.one(connection, "version_as_written", campaign_id=campaign_id, version=version)


def number(connection: Connection, version_id: UUID) -> int:
    """The number of a version."""
    return int(queries.scalar(connection, "version_number", version_id=version_id))


def mark_test_start(
    connection: Connection, campaign_id: UUID, version: int, description: str
) -> None:
    """Have a published version's entry in the history say that a test starts with it."""
    queries.run(
        connection,
        "mark_test_start",
        campaign_id=campaign_id,
        version=version,
        description=description,
    )


def of_name(connection: Connection, workspace_id: UUID, name: str) -> list[dict[str, Any]]:
    """Campaigns in use that carry this name: id, status, published_version."""
    return queries.rows(connection, "campaigns_of_name", workspace_id=workspace_id, name=name)


def in_use(connection: Connection, workspace_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Published campaigns of these workspaces."""
    return queries.rows(connection, "campaigns_in_use", workspace_ids=list(workspace_ids))


def set_parent(connection: Connection, campaign_id: UUID, parent_campaign_id: UUID) -> None:
    """Remember where a campaign was cloned from."""
    queries.run(
        connection,
        "set_parent_campaign",
        campaign_id=campaign_id,
        parent_campaign_id=parent_campaign_id,
    )


def lineage(connection: Connection, campaign_id: UUID) -> list[dict[str, Any]]:
    """The campaign this one was cloned from and its clones: relation, id, name, status."""
    return queries.rows(connection, "campaign_lineage", campaign_id=campaign_id)
