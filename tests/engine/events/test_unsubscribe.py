"""Unsubscribing through a link, by the functions that the receiver's role may execute."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.engine.events.unsubscribe import recipient_of, unsubscribe
from tests.engine.factories import NOW, a_published_campaign, contacts, enrolled
from tests.engine.graphs import email, end, graph, trigger


def a_delivery(connection: Connection, channel: str, phone: str) -> UUID:
    """A message on this channel to the contact ann@example.com with this phone number."""
    campaign = a_published_campaign(
        connection, graph(trigger("m"), email("m", default="end"), end())
    )
    (contact,) = contacts(connection, campaign.workspace_id, 1)
    connection.execute(
        "UPDATE contacts SET phone = %s, email = 'ann@example.com' WHERE id = %s", [phone, contact]
    )
    connection.execute("UPDATE workspaces SET default_region = 'DE'")
    enrolled(connection, campaign, [contact])
    delivery = uuid4()
    connection.execute(
        "INSERT INTO campaign_deliveries (id, workspace_id, campaign_id, campaign_version,"
        " enrollment_id, contact_id, node_id, channel, due_at, created_at)"
        " SELECT %s, workspace_id, campaign_id, 1, id, contact_id, 'm', %s, %s, %s"
        " FROM campaign_enrollments",
        [delivery, channel, NOW, NOW],
    )
    return delivery


@pytest.mark.parametrize(
    ("channel", "phone", "address"),
    [
        ("email", "0151 23456789", "ann@example.com"),
        ("sms", "0151 23456789", "+4915123456789"),
        ("sms", "no number", "no number"),
    ],
)
def test_the_recipient_is_suppressed_once_under_the_address_of_the_channel(
    database: Database, channel: str, phone: str, address: str
):
    with database.transaction() as connection:
        delivery = a_delivery(connection, channel, phone)
    for _ in range(2):
        assert unsubscribe(database, delivery, now=NOW)
    recipient = recipient_of(database, delivery)
    assert recipient is not None
    assert (recipient.channel, recipient.is_unsubscribed) == (channel, True)
    # An email address never needs the phone number.
    assert recipient.phone == (phone if channel == "sms" else None)
    with database.transaction() as connection:
        listed = connection.execute(
            "SELECT address, channel, reason, source FROM campaign_suppressions"
        ).fetchall()
    assert listed == [(address, channel, "unsubscribed", "receiver")]


def test_an_unknown_message_changes_nothing(database: Database):
    assert not unsubscribe(database, uuid4(), now=NOW)
    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM campaign_suppressions").fetchone() == (0,)
