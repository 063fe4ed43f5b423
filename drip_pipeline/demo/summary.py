"""Totals of the demonstration: enrollments by status, and whether the totals reconcile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db


class CampaignTotals(NamedTuple):
    """Enrollments of a campaign version by status; `exits` by reason.

    `balanced`: entered = active + completed + exited + failed.
    """

    campaign: str
    version: int
    entered: int
    active: int
    completed: int
    exited: int
    failed: int
    exits: dict[str, int]
    balanced: bool


def campaign_totals(database: Database, campaigns: Mapping[str, UUID]) -> list[CampaignTotals]:
    """Return the totals of each version of these campaigns (ids by name)."""
    totals = []
    with database.transaction(is_read_only=True) as connection:
        for name, campaign_id in campaigns.items():
            exits = states_db.exits_by_reason(connection, campaign_id)
            for counts in states_db.population(connection, campaign_id):
                version = counts.campaign_version
                totals.append(
                    CampaignTotals(
                        campaign=name,
                        version=version,
                        entered=counts.entered,
                        active=counts.active,
                        completed=counts.completed,
                        exited=counts.exited,
                        failed=counts.failed,
                        exits={
                            row.exit_reason: row.enrollments
                            for row in exits
                            if row.campaign_version == version
                        },
                        balanced=counts.is_balanced,
                    )
                )
    return totals
