"""List deliveries for operators, without addresses."""

from __future__ import annotations

from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.delivery import listed_deliveries as deliveries_db
from drip_pipeline.db.delivery.listed_deliveries import ListedDelivery
from drip_pipeline.engine.campaigns.campaign import find_campaign


def list_deliveries(
    database: Database,
    *,
    status: str,
    campaign: str | UUID | None = None,
    channel: str | None = None,
    limit: int = 100,
) -> list[ListedDelivery]:
    """Return deliveries of a status, latest first, with the last provider response. Raises
    CampaignNotFound."""
    with database.transaction(is_read_only=True) as connection:
        campaign_id = None if campaign is None else find_campaign(connection, campaign).campaign_id
        return deliveries_db.listed(
            connection,
            status=status,
            campaign_id=campaign_id,
            channel=channel,
            count_limit=limit,
        )
