"""From what a person types into a run's configuration to what the verbs want."""

from __future__ import annotations

from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.campaign import find_campaign


def campaign_ids(database: Database, campaign: str | None) -> list[UUID] | None:
    """The campaign of this id or exact name, None (all of them) without one. Raises
    CampaignNotFound or CampaignAmbiguous.
    """
    if not campaign:
        return None
    with database.transaction(is_read_only=True) as connection:
        return [find_campaign(connection, campaign).campaign_id]
