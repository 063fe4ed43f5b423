"""The version history of a campaign and its lineage. Writing a version is in publish.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection


class VersionEntry(NamedTuple):
    """One version of a campaign; `in_flight` counts its running, waiting and paused states.

    `created_by` is the platform's signed-in user, `actor` who created it through the engine.
    """

    version: int
    change_type: str
    change_description: str | None
    created_at: datetime
    created_by: UUID | None
    is_published: bool
    is_current: bool
    in_flight: int
    actor: str | None


class StoredVersion(NamedTuple):
    """What a version stores, as JSON: the published definition, or the rows of a snapshot."""

    definition: dict[str, object] | None
    campaign_snapshot: dict[str, object]
    steps_snapshot: list[dict[str, object]]


class NamedCampaign(NamedTuple):
    """A campaign that is not archived."""

    id: UUID
    status: str
    published_version: int | None


class PublishedCampaign(NamedTuple):
    """A published campaign and its published version."""

    id: UUID
    name: str
    workspace: str
    status: str
    version: int


class RelatedCampaign(NamedTuple):
    """The campaign that another one was cloned from, or a clone of it."""

    relation: Literal["parent", "clone"]
    id: UUID
    name: str
    status: str


def history(connection: Connection, campaign_id: UUID) -> list[VersionEntry]:
    """Return all versions of a campaign, newest first."""
    return queries.records(connection, "version_history", VersionEntry, campaign_id=campaign_id)


def stored_version(connection: Connection, campaign_id: UUID, version: int) -> StoredVersion | None:
    """Return what one version stores, or None when there is no such version."""
    return queries.record(
        connection, "stored_version", StoredVersion, campaign_id=campaign_id, version=version
    )


def version_number(connection: Connection, version_id: UUID) -> int:
    """Return the number of a version."""
    return int(queries.scalar(connection, "version_number", version_id=version_id))


def mark_test_start(
    connection: Connection, campaign_id: UUID, version: int, description: str
) -> None:
    """Set the change type of a published version to `ab_test_started`."""
    queries.run(
        connection,
        "mark_test_start",
        campaign_id=campaign_id,
        version=version,
        description=description,
    )


def campaigns_of_name(connection: Connection, workspace_id: UUID, name: str) -> list[NamedCampaign]:
    """Return the campaigns of this name in a workspace that are not archived."""
    return queries.records(
        connection, "campaigns_of_name", NamedCampaign, workspace_id=workspace_id, name=name
    )


def published_campaigns(
    connection: Connection, workspace_ids: Sequence[UUID]
) -> list[PublishedCampaign]:
    """Return the published campaigns of these workspaces."""
    return queries.records(
        connection, "published_campaigns", PublishedCampaign, workspace_ids=list(workspace_ids)
    )


def set_parent(connection: Connection, campaign_id: UUID, parent_campaign_id: UUID) -> None:
    """Store which campaign this one was cloned from."""
    queries.run(
        connection,
        "set_parent_campaign",
        campaign_id=campaign_id,
        parent_campaign_id=parent_campaign_id,
    )


def lineage(connection: Connection, campaign_id: UUID) -> list[RelatedCampaign]:
    """Return the campaign that this one was cloned from, and its clones."""
    return queries.records(connection, "campaign_lineage", RelatedCampaign, campaign_id=campaign_id)
