"""A campaign as a file: what publishing it again, unchanged, takes for the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.publishing.history import definition_of_version
from drip_pipeline.engine.publishing.stored_definition import stored_definition


@dataclass(frozen=True, slots=True)
class Exported:
    """A campaign file, and the version that was published when it was written (0: none): whoever
    edits it publishes based on that."""

    file: dict[str, Any]
    published_version: int


def export_file(database: Database, name_or_id: str | UUID, version: int | None = None) -> Exported:
    """The campaign as it stands in the database, or one of its versions; completed and without ids
    of this database.

    Raises CampaignNotFound, CampaignAmbiguous, VersionNotFound.
    """
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        file = (
            stored_definition(connection, campaign.campaign_id)
            if version is None
            else definition_of_version(connection, campaign, version).to_dict()
        )
        return Exported(file, campaign.published_version or 0)


def export_campaign(
    database: Database, name_or_id: str | UUID, version: int | None = None
) -> dict[str, Any]:
    """The file alone."""
    return export_file(database, name_or_id, version).file
