"""What happened in the demonstration, as figures: who is where, per campaign, and whether the books
balance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db

_STATUSES = ("active", "completed", "exited", "failed")


def population(database: Database, campaigns: Mapping[str, UUID]) -> list[dict[str, Any]]:
    """A row per campaign version: entered, active, completed, exited (and `exits` by reason),
    failed, `balanced`."""
    rows = []
    with database.transaction(is_read_only=True) as connection:
        for name, campaign_id in campaigns.items():
            exits = states_db.exits_by_reason(connection, campaign_id)
            for counts in states_db.population(connection, campaign_id):
                version = counts.campaign_version
                rows.append(
                    {
                        "campaign": name,
                        "version": version,
                        "entered": counts.entered,
                        **{status: getattr(counts, status) for status in _STATUSES},
                        "exits": {
                            row.exit_reason: row.enrollments
                            for row in exits
                            if row.campaign_version == version
                        },
                        "balanced": counts.is_balanced,
                    }
                )
    return rows
