"""A campaign as it stands in the database, read back as a campaign file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from drip_pipeline.db import publish as publish_db
from drip_pipeline.db.connection import Connection, dump_json
from drip_pipeline.domain.campaign_file import CAMPAIGN_KEYS, STEP_KEYS
from drip_pipeline.errors import CampaignNotFound


def stored_definition(connection: Connection, campaign_id: UUID) -> dict[str, Any]:
    """The campaign's row and steps as a campaign file. Raises CampaignNotFound."""
    row = publish_db.campaign_row(connection, campaign_id)
    if row is None:
        raise CampaignNotFound(str(campaign_id))
    return as_definition(row, publish_db.steps(connection, campaign_id))


def as_definition(
    campaign: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The campaign file of these rows; what is not set is not there."""
    told = {**(campaign.get("settings") or {}), **campaign}
    file = {key: told[key] for key in CAMPAIGN_KEYS if told.get(key) is not None}
    file["steps"] = [
        {key: step[key] for key in STEP_KEYS if step.get(key) is not None} for step in steps
    ]
    plain: dict[str, Any] = orjson.loads(dump_json(file))
    return plain
