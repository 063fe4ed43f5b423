"""A campaign as it stands in the database, read back as a campaign file."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.domain.definition.export import export_definition
from drip_pipeline.errors import CampaignNotFound


def stored_definition(connection: Connection, campaign_id: UUID) -> dict[str, Any]:
    """The campaign's row and steps as a campaign file, without ids of this database. Raises
    CampaignNotFound.
    """
    row = publish_db.campaign_row(connection, campaign_id)
    if row is None:
        raise CampaignNotFound(str(campaign_id))
    return export_definition(row, publish_db.steps(connection, campaign_id))
