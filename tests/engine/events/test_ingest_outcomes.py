"""What events do to message outcomes."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from drip_pipeline.channels.protocol import Capabilities, DeliveryResult, Outcome
from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.domain.events.vocabulary import EVENT_TYPES
from tests.engine.events.incoming import ONE_MAIL, ingest, mailed, minutes, rows, value
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    an_event,
    contacts,
    enrolled,
    run_until_idle,
)

OUTCOME_COLUMNS = {
    "email_delivered": "delivered_at",
    "email_opened": "first_opened_at",
    "email_clicked": "first_clicked_at",
    "email_replied": "first_replied_at",
    "converted": "first_converted_at",
    "email_unsubscribed": "unsubscribed_at",
    "email_complained": "complained_at",
    "email_bounced": "bounced_at",
    "email_failed": "failed_at",
    "email_suppressed": "failed_at",
}


@pytest.mark.parametrize("event_type", [*OUTCOME_COLUMNS, "email_deferred"])
def test_an_event_changes_its_own_column_of_the_outcome_and_no_other(database, event_type):
    _, [sent] = mailed(database)
    times = [
        an_event(n, event_type, message_id=sent.message_id, occurred_at=minutes(after))
        for n, after in enumerate((9, 7, 8))
    ]
    assert ingest(database, times).accepted == 3
    columns = sorted(set(OUTCOME_COLUMNS.values()))
    [outcome] = rows(database, f"SELECT {', '.join(columns)} FROM campaign_message_outcomes")
    happened = {name: at for name, at in zip(columns, outcome, strict=True) if at is not None}
    own = OUTCOME_COLUMNS.get(event_type)
    assert happened == ({own: NOW + timedelta(minutes=7)} if own else {})


def test_opens_and_clicks_of_machines_are_counted_separately(database):
    _, [sent] = mailed(database)
    agents: dict[str, list[str | None]] = {
        "email_opened": ["Mozilla/5.0", "Mozilla/5.0 (Macintosh) AppleWebKit", None],
        "email_clicked": ["Barracuda Sentinel (EE)", "Mozilla/5.0", "Mozilla/5.0 (Windows NT 10)"],
    }
    events = [
        an_event(f"{kind}{n}", kind, message_id=sent.message_id, user_agent=agent)
        for kind, listed in agents.items()
        for n, agent in enumerate(listed)
    ]
    event: dict[str, Any] = {
        "message_id": sent.message_id,
        "data": {"machine": True},
        "occurred_at": minutes(1),
    }
    events += [
        an_event("t1", "email_opened", **event),
        an_event("t2", "email_clicked", **event),
    ]
    assert ingest(database, events).accepted == 8
    assert rows(
        database,
        "SELECT open_count, first_opened_at, first_machine_opened_at, click_count, "
        "first_clicked_at, first_machine_clicked_at FROM campaign_message_outcomes",
    ) == [
        (
            2,
            NOW + timedelta(minutes=5),
            NOW + timedelta(minutes=1),
            2,
            NOW + timedelta(minutes=5),
            NOW + timedelta(minutes=1),
        )
    ]
    assert value(
        database, "SELECT count(*) FROM campaign_events WHERE event_data @> '{\"machine\": true}'"
    ) == 4  # fmt: skip


class SilentChannel(RecorderChannel):
    """A provider whose answer never comes."""

    capabilities = Capabilities(is_idempotent=False, max_batch=50)

    def send(self, messages):
        return [
            DeliveryResult(delivery_id=message.delivery_id, outcome=Outcome.UNKNOWN)
            for message in messages
        ]


def test_an_event_settles_a_delivery_with_an_unknown_outcome(database):
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, ONE_MAIL)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 2))
    run_until_idle(database, email=SilentChannel("email"))
    [(unknown_id,), _] = rows(database, "SELECT id FROM campaign_deliveries ORDER BY id")
    report = ingest(database, [an_event(1, "email_delivered", message_id=unknown_id)])
    assert (report.accepted, report.settled) == (1, 1)
    assert rows(
        database,
        "SELECT d.status, o.certainty, o.delivered_at, s.workflow_status "
        "FROM campaign_deliveries d JOIN campaign_workflow_states s ON s.id = d.enrollment_id "
        "LEFT JOIN campaign_message_outcomes o ON o.message_id = d.id ORDER BY d.id",
    ) == [
        ("sent", "known", NOW + timedelta(minutes=5), "completed"),
        ("unknown", None, None, "waiting"),
    ]
    run_until_idle(database, NOW + timedelta(days=1))
    assert (
        value(database, "SELECT count(*) FROM campaign_events WHERE event_type = 'email_sent'") == 2
    )


def test_events_of_an_unsent_message_are_rejected(database):
    _, [sent] = mailed(database)
    with database.transaction() as connection:
        connection.execute("DELETE FROM campaign_message_outcomes")
        connection.execute("UPDATE campaign_deliveries SET status = 'failed'")
    events = [
        an_event(1, "email_opened", message_id=sent.message_id),
        an_event(2, "email_opened", message_id=uuid4()),
    ]
    report = ingest(database, events)
    assert report.rejected == {"the message was never sent": 1, "no such message": 1}


def test_the_database_and_the_code_share_one_vocabulary(database):
    stored = rows(database, "SELECT event_type, channel, description FROM campaign_event_types")
    assert Counter(stored) == Counter(
        (kind.name, kind.channel, kind.description) for kind in EVENT_TYPES.values()
    )


def test_times_without_a_zone_are_utc(database):
    _, [sent] = mailed(database)
    event = an_event(
        1, "email_opened", message_id=sent.message_id, occurred_at="2026-03-02 11:30:00"
    )
    assert ingest(database, [event], now=NOW + timedelta(days=1)).accepted == 1
    assert value(database, "SELECT first_opened_at FROM campaign_message_outcomes") == datetime(
        2026, 3, 2, 11, 30, tzinfo=UTC
    )
