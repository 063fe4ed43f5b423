"""A campaign as a file: what publishing it again, unchanged, takes for the same."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.definition import complete, load_definition
from drip_pipeline.engine.campaigns import find_campaign
from drip_pipeline.engine.stored_definition import stored_definition


def export_campaign(database: Database, name_or_id: str | UUID) -> dict[str, Any]:
    """The campaign as it stands in the database, completed and without ids of this database.

    Raises CampaignNotFound, CampaignAmbiguous.
    """
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        stored = stored_definition(connection, campaign.campaign_id)
    exported = complete(load_definition(stored)).to_dict()
    canvas = exported.get("canvas_data")
    if canvas is not None:
        exported["canvas_data"] = {**canvas, "nodes": [_portable(n) for n in canvas["nodes"]]}
    return exported


def _portable(node: dict[str, Any]) -> dict[str, Any]:
    data = node.get("data")
    if not isinstance(data, dict) or "stepId" not in data:
        return node
    return {**node, "data": {key: value for key, value in data.items() if key != "stepId"}}
