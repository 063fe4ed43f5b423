"""Bringing back what failed for good: states to due with fresh retries, deliveries under the id
they had. What is only waiting for its next try needs nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.errors import NotAllowed, NotFound


@dataclass(frozen=True, slots=True)
class RequeueReport:
    """How many people are due again: at a node that failed (`states`), or with a message that could
    not be sent (`deliveries`). `note` says why there is nothing, where that can be told.
    """

    states: int
    deliveries: int
    note: str = ""


def requeue(
    database: Database,
    *,
    now: datetime,
    campaign: str | UUID | None = None,
    batch_id: UUID | None = None,
    node_id: str | None = None,
    since: datetime | None = None,
) -> RequeueReport:
    """Failed states and deliveries back to due: of a campaign, of one batch of the ledger, or of
    every campaign `since` a time (after a provider was down, say); archived ones stay as they are.

    `node_id` and `since` (when they failed) narrow it. Raises CampaignNotFound, NotFound for the
    batch, NotAllowed for an archived campaign or when none of the three is named.
    """
    if campaign is None and batch_id is None and since is None:
        raise NotAllowed(
            "nothing says what to requeue", hint="Name a campaign, a batch, or since when."
        )
    with database.transaction() as connection:
        campaign_id, note = None, ""
        if campaign is not None:
            found = find_campaign(connection, campaign)
            if found.status == "archived":
                raise NotAllowed(f"campaign {found.name!r} is archived, which is for good")
            if found.status == "paused":
                note = "the campaign is paused: they are due when it is resumed"
            campaign_id = found.campaign_id
        if batch_id is not None:
            batch = campaigns_db.batch(connection, batch_id)
            if batch is None:
                raise NotFound(
                    "batch", str(batch_id), hint="The table campaign_batches lists all of them."
                )
            if batch.outcome == "failed":
                note = "the batch was rolled back as a whole: its people are still due"
        states, deliveries = states_db.requeue_failed(
            connection,
            campaign_id=campaign_id,
            batch_id=batch_id,
            node_id=node_id,
            since=since,
            now=now,
        )
    return RequeueReport(states, deliveries, note)
