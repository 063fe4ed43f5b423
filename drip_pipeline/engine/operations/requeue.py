"""Make failed workflow states and failed deliveries due again.

States get fresh retries; deliveries keep their id. Work that waits for a retry is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from drip_pipeline.db.campaigns import campaigns as campaigns_db
from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.errors import NotAllowed, NotFound


@dataclass(frozen=True, slots=True)
class RequeueReport:
    """The number of states and deliveries that are due again.

    `note` says why nothing was requeued or when it will run, if there is a known reason.
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
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> RequeueReport:
    """Requeue what failed: in a campaign, in one batch, or in all campaigns `since` a time.

    `node_id` and `since` (the time of the failure) narrow the selection. Archived campaigns are not
    changed. Raises CampaignNotFound, NotFound for an unknown batch, and NotAllowed for an archived
    campaign or if neither campaign, batch nor `since` is given.
    """
    if campaign is None and batch_id is None and since is None:
        raise NotAllowed(
            "no selection of what to requeue", hint="Give a campaign, a batch, or a time (since)."
        )
    with database.transaction() as connection:
        campaign_id, note = None, ""
        subject = audit.Subject("deliveries", None)
        if campaign is not None:
            row = find_campaign(connection, campaign)
            if row.status == "archived":
                raise NotAllowed(f"campaign {row.name!r} is archived; this cannot be undone")
            if row.status == "paused":
                note = "the campaign is paused: they run when it is resumed"
            campaign_id, subject = row.campaign_id, row.subject
        if batch_id is not None:
            batch = campaigns_db.batch(connection, batch_id)
            if batch is None:
                raise NotFound(
                    "batch", str(batch_id), hint="The table campaign_batches lists all batches."
                )
            subject = audit.Subject("batch", None, batch_id)
            if batch.outcome == "failed":
                note = "the batch was rolled back as a whole: its enrollments are still due"
        states, deliveries = states_db.requeue_failed(
            connection,
            campaign_id=campaign_id,
            batch_id=batch_id,
            node_id=node_id,
            since=since,
            now=now,
        )
        if states or deliveries:
            audit.record(
                connection,
                actor,
                "requeue",
                subject,
                now=now,
                reason=reason,
                details={
                    "enrollments": states,
                    "deliveries": deliveries,
                    "node": node_id,
                    "since": since,
                },
            )
    return RequeueReport(states, deliveries, note)
