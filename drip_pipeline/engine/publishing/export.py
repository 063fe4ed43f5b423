"""Export a campaign as a file; publishing the file again, unchanged, changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.publishing.history import definition_of_version
from drip_pipeline.engine.publishing.stored_definition import stored_definition


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A campaign file, and the version that was published at the export (0: none).

    Publishing an edited file with `based_on` set to that version detects concurrent publications.
    """

    file: dict[str, Any]
    published_version: int


def export_file(
    database: Database, name_or_id: str | UUID, version: int | None = None
) -> ExportedFile:
    """Export the campaign's present rows, or one of its versions, without ids of this database.

    Raises CampaignNotFound, CampaignAmbiguous, VersionNotFound.
    """
    with database.transaction(is_read_only=True) as connection:
        campaign = find_campaign(connection, name_or_id)
        file = (
            stored_definition(connection, campaign.campaign_id)
            if version is None
            else definition_of_version(connection, campaign, version).to_dict()
        )
        return ExportedFile(file, campaign.published_version or 0)
