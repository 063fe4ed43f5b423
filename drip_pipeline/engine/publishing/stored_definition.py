"""Read a campaign's rows back as a definition or a campaign file."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.publishing import publish as publish_db
from drip_pipeline.domain.compiler.api import CampaignDefinition
from drip_pipeline.domain.definition.export import definition_of_rows
from drip_pipeline.errors import CampaignNotFound


def definition_in_tables(
    connection: Connection, campaign_id: UUID, *, canvas_wins: bool = False
) -> CampaignDefinition | None:
    """Return the completed definition of the campaign's rows, or None without such a campaign.

    `canvas_wins`: prefer the canvas to the steps where they differ, as for an external draft.
    """
    row = publish_db.campaign_row(connection, campaign_id)
    if row is None:
        return None
    steps = [step._asdict() for step in publish_db.steps(connection, campaign_id)]
    return definition_of_rows(row._asdict(), steps, canvas_wins=canvas_wins)


def stored_definition(connection: Connection, campaign_id: UUID) -> dict[str, Any]:
    """Return the campaign's rows as a campaign file, without ids of this database.

    Raises CampaignNotFound.
    """
    definition = definition_in_tables(connection, campaign_id)
    if definition is None:
        raise CampaignNotFound(str(campaign_id))
    return definition.to_dict()
