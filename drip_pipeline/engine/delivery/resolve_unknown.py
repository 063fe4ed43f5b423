"""Settle deliveries with an unknown outcome as an operator decides: sent, not sent, or skipped.

Without a decision they are assumed sent after the grace time, or wait, as the channel's
`on_unknown` policy says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import broadcasts as broadcasts_db
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery import frequency_caps as caps_db
from drip_pipeline.db.delivery import unknown_outcomes as unknown_db
from drip_pipeline.db.delivery.deliveries import Retry
from drip_pipeline.db.delivery.unknown_outcomes import UnknownDelivery
from drip_pipeline.engine import audit
from drip_pipeline.engine.audit import LIBRARY, Actor
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.delivery.results import SettleContext
from drip_pipeline.engine.delivery.settle import (
    by_channel,
    settle_accepted_late,
    settle_skipped,
)
from drip_pipeline.errors import NotAllowed

Resolution = Literal["sent", "not-sent", "skip"]
NOT_SENT_REASON: Final = "not_sent"
_BATCH_SIZE: Final = 5_000
_SHOWN_IDS: Final = 100


@dataclass(frozen=True, slots=True)
class ResolutionReport:
    """How many deliveries and shared posts were settled, and as what."""

    answer: Resolution
    deliveries: int
    posts: int


def resolve_unknown(
    database: Database,
    resolution: Resolution,
    *,
    now: datetime,
    ids: Sequence[UUID] | None = None,
    campaign: str | UUID | None = None,
    channel: str | None = None,
    actor: Actor = LIBRARY,
    reason: str | None = None,
) -> ResolutionReport:
    """Settle deliveries of unknown outcome: by id, of a campaign, or of a channel.

    `sent`: their states continue. `not-sent`: the messages are due again under the same ids.
    `skip`: their states continue without the message. Raises NotAllowed without any selection,
    CampaignNotFound.
    """
    if ids is None and campaign is None and channel is None:
        raise NotAllowed(
            "no messages are selected", hint="Name delivery ids, a campaign or a channel."
        )
    action_id = uuid4()
    subject = audit.Subject("deliveries", None)

    def note(connection: Connection, deliveries: int) -> None:
        if not deliveries + posts:
            return
        details = {
            "resolution": resolution,
            "deliveries": deliveries,
            "posts": posts,
            "channel": channel,
            "ids": None if ids is None else list(ids)[:_SHOWN_IDS],
        }
        audit.record(
            connection,
            actor,
            "settle_deliveries",
            subject,
            now=now,
            reason=reason,
            details=details,
            action_id=action_id,
        )

    with database.transaction() as connection:
        campaign_id = None
        if campaign is not None:
            owner = find_campaign(connection, campaign)
            campaign_id, subject = owner.campaign_id, owner.subject
        posts = 0
        if channel in (None, "social") and resolution != "skip":
            posts = broadcasts_db.settle_unknown(
                connection, is_sent=resolution == "sent", ids=ids, campaign_id=campaign_id, now=now
            )
        note(connection, 0)
    total = 0
    while True:
        with database.transaction() as connection:
            unknown = unknown_db.lock_unknown(
                connection,
                ids=ids,
                campaign_id=campaign_id,
                channel=channel,
                batch_size=_BATCH_SIZE,
            )
            for each, group in by_channel(unknown).items():
                _settle(connection, group, resolution, SettleContext(each, uuid4(), now))
            total += len(unknown)
            if unknown:
                note(connection, total)
        if len(unknown) < _BATCH_SIZE:
            return ResolutionReport(resolution, total, posts)


def _settle(
    connection: Connection,
    deliveries: Sequence[UnknownDelivery],
    resolution: Resolution,
    context: SettleContext,
) -> None:
    if resolution == "sent":
        details = [{"settled_by": "operator"}] * len(deliveries)
        settle_accepted_late(connection, deliveries, context, details=details)
    elif resolution == "not-sent":
        caps_db.release(connection, [each.id for each in deliveries])
        error = "an operator reported that it was not sent"
        retries = [Retry(each.id, context.now, NOT_SENT_REASON, error) for each in deliveries]
        deliveries_db.reschedule(connection, retries, context.now)
    else:
        settle_skipped(connection, {NOT_SENT_REASON: deliveries}, context)
