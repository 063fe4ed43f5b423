"""A campaign as a file: what publishing it again, unchanged, takes for the same."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns import find_campaign
from drip_pipeline.engine.stored_definition import stored_definition
from drip_pipeline.engine.versions import definition_of_version


def export_campaign(
    database: Database, name_or_id: str | UUID, version: int | None = None
) -> dict[str, Any]:
    """The campaign as it stands in the database, or one of its versions; completed and without ids
    of this database.

    Raises CampaignNotFound, CampaignAmbiguous, VersionNotFound.
    """
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        if version is not None:
            return definition_of_version(connection, campaign, version).to_dict()
        return stored_definition(connection, campaign.campaign_id)
