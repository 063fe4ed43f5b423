"""A campaign as a file: what publishing it again, unchanged, takes for the same."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns import find_campaign
from drip_pipeline.engine.stored_definition import stored_definition


def export_campaign(database: Database, name_or_id: str | UUID) -> dict[str, Any]:
    """The campaign as it stands in the database, completed and without ids of this database.

    Raises CampaignNotFound, CampaignAmbiguous.
    """
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        return stored_definition(connection, campaign.campaign_id)
