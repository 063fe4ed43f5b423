"""Campaigns, contacts and a provider for tests of frequency caps, and what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from drip_pipeline.channels.protocol import (
    Capabilities,
    DeliveryResult,
    Outcome,
    OutgoingMessage,
)
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.actions import SmsAction
from drip_pipeline.domain.graph.graph import CampaignGraph
from tests.engine.factories import (
    a_published_campaign,
    contacts,
    enrolled,
    the_workspace,
)
from tests.engine.graphs import email, end, graph, node, trigger

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
WEEKLY = {"name": "weekly", "max": 2, "per": {"value": 7, "unit": "days"}}


def one_mail(priority: int = 0, **settings: Any) -> CampaignGraph:
    flow = graph(trigger("mail"), email("mail", default="end"), end())
    return replace(flow, priority=priority, **settings)


def one_sms() -> CampaignGraph:
    sms = node("mail", "action", SmsAction(body="Hello"), default="end")
    return graph(trigger("mail"), sms, end())


def people(database: Database, count: int) -> list[UUID]:
    with database.transaction() as connection:
        return contacts(connection, the_workspace(connection), count)


def entering(
    database: Database, ids: Sequence[UUID], at: datetime = NOW, **campaigns: CampaignGraph
) -> None:
    """Publish these campaigns and enroll the contacts, not advanced yet."""
    with database.transaction() as connection:
        workspace = the_workspace(connection)
        for name, flow in campaigns.items():
            campaign = a_published_campaign(
                connection, flow, workspace_id=workspace, name=name, now=at
            )
            enrolled(connection, campaign, ids, at=at)


def rows(database: Database, statement: str, *params: Any) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(statement, params).fetchall()


def sent(database: Database) -> Counter[tuple[str, datetime]]:
    """The numbers of sent messages by campaign and time."""
    return Counter(
        rows(
            database,
            "SELECT c.name, o.sent_at FROM campaign_message_outcomes o"
            " JOIN drip_campaigns c ON c.id = o.campaign_id",
        )
    )


def events(database: Database, event_type: str) -> list[Any]:
    return [
        row[0]
        for row in rows(
            database, "SELECT event_data FROM campaign_events WHERE event_type = %s", event_type
        )
    ]


def most_in(database: Database, period: timedelta) -> int:
    """The most messages that a contact got in any period of this length."""
    times: dict[UUID, list[datetime]] = {}
    for contact, sent_at in rows(
        database, "SELECT contact_id, sent_at FROM campaign_message_outcomes"
    ):
        times.setdefault(contact, []).append(sent_at)
    return max(
        sum(at <= other < at + period for other in each) for each in times.values() for at in each
    )


class Provider(RecorderChannel):
    """A provider that gives one answer."""

    capabilities = Capabilities(is_idempotent=False, max_batch=50)

    def __init__(self, answer: Outcome = Outcome.ACCEPTED) -> None:
        super().__init__("email")
        self.answer = answer

    def send(self, messages: Sequence[OutgoingMessage]) -> list[DeliveryResult]:
        return [
            DeliveryResult(delivery_id=message.delivery_id, outcome=self.answer, error="no")
            for message in messages
        ]
