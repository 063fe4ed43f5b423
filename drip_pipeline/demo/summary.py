"""Totals of the demonstration: enrollments by status, whether the totals reconcile, and what the
rules did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.operations import demo as demo_db
from drip_pipeline.db.operations.demo import RulesAtWork


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


def rules_at_work(database: Database, workspace_id: UUID) -> RulesAtWork:
    """Return what quiet hours, the frequency cap and goals did in the demo's workspace."""
    with database.transaction(is_read_only=True) as connection:
        return demo_db.rules_at_work(connection, workspace_id)


def sentences(rules: RulesAtWork) -> list[str]:
    """Return what the rules did in plain sentences."""
    held, capped = rules.held_by_quiet_hours, rules.held_by_cap
    quiet = f"Quiet hours, 21:00 to 08:00 by each contact's clock: {held:,} messages were due at"
    bought = f"Goal, a purchase: {rules.ended_at_goal:,} contacts bought and left the campaign;"
    return [
        f"{quiet} night, and waited for the morning.",
        f"Frequency cap, one message a day: {capped:,} messages waited for the next day.",
        f"{bought} {rules.sent_after_goal:,} messages of it were sent to them afterwards.",
    ]


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
