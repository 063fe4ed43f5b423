"""An operator's word on messages in doubt: they went out, they did not, or they need not.

Whoever has looked into the provider's own log knows; until then a message in doubt is assumed sent
after the grace time, or waits for this, as its channel's policy has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.delivery import broadcasts as broadcasts_db
from drip_pipeline.db.delivery import deliveries as deliveries_db
from drip_pipeline.db.delivery.deliveries import Later
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.delivery.settle import settle_accepted, settle_skipped
from drip_pipeline.errors import NotAllowed

Answer = Literal["sent", "not-sent", "skip"]
ANSWERS: Final[tuple[Answer, ...]] = ("sent", "not-sent", "skip")
NOT_SENT_REASON: Final = "not_sent"
_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class DoubtReport:
    """How many messages to people, and how many posts for everybody, were spoken for."""

    answer: Answer
    deliveries: int
    posts: int


def settle_doubts(
    database: Database,
    answer: Answer,
    *,
    now: datetime,
    ids: Sequence[UUID] | None = None,
    campaign: str | UUID | None = None,
    channel: str | None = None,
) -> DoubtReport:
    """Settle messages in doubt: by id, or all of a campaign or channel.

    `sent`: the people go on. `not-sent`: the messages are due again, under the ids they had.
    `skip`: the people go on without. Raises NotAllowed when nothing says which are meant,
    CampaignNotFound.
    """
    if ids is None and campaign is None and channel is None:
        raise NotAllowed(
            "nothing says which messages are meant", hint="Name ids, a campaign or a channel."
        )
    with database.transaction() as connection:
        campaign_id = None if campaign is None else find_campaign(connection, campaign).campaign_id
        posts = 0
        if channel in (None, "social") and answer != "skip":
            posts = broadcasts_db.settle_doubtful(
                connection, is_out=answer == "sent", ids=ids, campaign_id=campaign_id, now=now
            )
    total = 0
    while True:
        with database.transaction() as connection:
            rows = deliveries_db.lock_doubtful(
                connection, ids=ids, campaign_id=campaign_id, channel=channel, batch_size=_AT_ONCE
            )
            _settle(connection, rows, answer, now)
        total += len(rows)
        if len(rows) < _AT_ONCE:
            return DoubtReport(answer, total, posts)


def _settle(
    connection: Connection, rows: Sequence[dict[str, Any]], answer: Answer, now: datetime
) -> None:
    by_channel: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_channel.setdefault(row["channel"], []).append(row)
    for channel, group in by_channel.items():
        if answer == "sent":
            settle_accepted(
                connection,
                group,
                [None] * len(group),
                channel=channel,
                batch_id=uuid4(),
                now=now,
                details=[{"settled_by": "operator"}] * len(group),
            )
        elif answer == "not-sent":
            told = "an operator says that it did not go out"
            again = [Later(row["id"], now, NOT_SENT_REASON, told) for row in group]
            deliveries_db.reschedule(connection, again, now)
        else:
            skipped = [{**row, "gate": NOT_SENT_REASON} for row in group]
            settle_skipped(connection, skipped, channel=channel, batch_id=uuid4(), now=now)
