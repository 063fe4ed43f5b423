"""examples/order_followup.yaml, walked through ingestion: each order has a run of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import CHECKOUT, Secret, Settings
from tests.engine.events.incoming import rows
from tests.engine.factories import NOW, a_workspace, an_event, contacts, run_until_idle

FILE = CHECKOUT / "examples" / "order_followup.yaml"
SETTINGS = Settings(smtp_url=Secret("smtp://127.0.0.1:25"))


@pytest.fixture
def shop(database: Database) -> Database:
    """Publish the example for two contacts."""
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), 2)
    publish(database, FILE.read_text(encoding="utf-8"), PublishOptions(now=NOW, settings=SETTINGS))
    return database


def happens(
    database: Database, event_type: str, order_id: str, hours: float, person: int = 1, **data: Any
) -> None:
    """Ingest an event of an order, and run the engine, so many hours after NOW."""
    at = NOW + timedelta(hours=hours)
    line = an_event(
        f"{event_type}-{order_id}-{person}",
        event_type,
        email=f"person{person}@example.com",
        occurred_at=at.isoformat(),
        data={"order_id": order_id, **data},
    )
    report = ingest_events(database, [line], source="shop", now=at)
    assert dict(report.rejected) == {}
    run_until_idle(database, at)


def sent(database: Database) -> list[tuple[str, str]]:
    """Return node and subject of the messages, in the order in which they were sent."""
    return [
        (node_id, subject)
        for node_id, subject in rows(
            database, "SELECT node_id, subject FROM recorded_messages ORDER BY recorded_at, subject"
        )
    ]


def test_shipped_resumes_the_run_of_its_order_only(shop: Database) -> None:
    happens(shop, "order.placed", "A-1", 1, total=120.5, items=[{"name": "Tea"}, {"name": "Pot"}])
    happens(shop, "order.placed", "A-2", 2, total=9)
    happens(shop, "order.placed", "A-1", 3, person=2, total=30)
    assert sent(shop) == [
        ("confirm", "We received your order A-1"),
        ("confirm", "We received your order A-2"),
        ("confirm", "We received your order A-1"),
    ]
    (body,) = rows(shop, "SELECT body FROM recorded_messages WHERE body LIKE '%%Tea%%'")
    assert "order A-1 of 120.5: Tea, Pot." in body[0]
    happens(shop, "order.shipped", "A-2", 10, carrier="Post", tracking="T-9")
    assert sent(shop)[3:] == [("on_its_way", "Your order A-2 is on its way")]
    (text,) = rows(shop, "SELECT body FROM recorded_messages WHERE node_id = 'on_its_way'")
    assert "Post brings your items, parcel T-9." in text[0]
    waiting = rows(
        shop,
        "SELECT e.entry_key, k.email FROM campaign_workflow_states s"
        " JOIN campaign_enrollments e ON e.id = s.id JOIN contacts k ON k.id = s.contact_id"
        " WHERE s.workflow_status = 'waiting' ORDER BY k.email",
    )
    assert waiting == [("A-1", "person1@example.com"), ("A-1", "person2@example.com")]
    happens(shop, "order.shipped", "A-1", 20, person=2)
    assert sent(shop)[4:] == [("on_its_way", "Your order A-1 is on its way")]


def test_a_late_order_is_said_to_be_late_and_a_large_one_asks_for_a_call(shop: Database) -> None:
    happens(shop, "order.placed", "A-1", 1, total="100.00")
    happens(shop, "order.placed", "B-1", 1, person=2, total=99)
    happens(shop, "order.placed", "B-2", 1, person=2, total=0)
    happens(shop, "order.shipped", "A-9", 5)
    run_until_idle(shop, NOW + timedelta(days=3, hours=2))
    assert sent(shop)[2:] == [
        ("late", "Your order A-1 is late"),
        ("late", "Your order B-1 is late"),
    ]
    fields = "SELECT custom_fields ->> 'call_about_order' FROM contacts ORDER BY email"
    assert rows(shop, fields) == [("A-1",), (None,)]
