"""Resolve the campaign in a run's configuration."""

from __future__ import annotations

from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.campaign import Campaign, find_campaign


def campaign_ids(database: Database, campaign: str | None) -> list[UUID] | None:
    """Return the id of the campaign with this id or exact name, or None (all) without one.

    Raises CampaignNotFound or CampaignAmbiguous.
    """
    if not campaign:
        return None
    with database.transaction(is_read_only=True) as connection:
        return [find_campaign(connection, campaign).campaign_id]


def campaign_named(database: Database, campaign: str) -> Campaign:
    """Return the campaign with this id or exact name.

    Raises CampaignNotFound or CampaignAmbiguous.
    """
    with database.transaction(is_read_only=True) as connection:
        return find_campaign(connection, campaign)
