"""examples/trial_activation.yaml, walked through ingestion: own events with counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import event_names as event_names_db
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import CHECKOUT, Secret, Settings
from tests.engine.events.incoming import rows
from tests.engine.factories import NOW, a_workspace, an_event, contacts, run_until_idle

FILE = CHECKOUT / "examples" / "trial_activation.yaml"
OPTIONS = PublishOptions(now=NOW, settings=Settings(smtp_url=Secret("smtp://127.0.0.1:25")))


@pytest.fixture
def product(database: Database) -> Database:
    """Publish the example for four contacts."""
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), 4)
    report = publish(database, FILE.read_text(encoding="utf-8"), OPTIONS)
    assert {warning.code for warning in report.warnings} == {"event_type_unknown"}
    return database


def happens(database: Database, hours: float, event_type: str, *people: int, **data: Any) -> None:
    """Ingest an event of each of these people, and run the engine, so many hours after NOW."""
    at = NOW + timedelta(hours=hours)
    lines = [
        an_event(
            f"{event_type}-{hours}-{person}",
            event_type,
            email=f"person{person}@example.com",
            occurred_at=at.isoformat(),
            data=data,
        )
        for person in people
    ]
    report = ingest_events(database, lines, source="product", now=at)
    assert dict(report.rejected) == {}
    run_until_idle(database, at)


def last_messages(database: Database) -> dict[str, str]:
    """Return the node of the last message by person."""
    sent = rows(database, "SELECT recipient, node_id FROM recorded_messages ORDER BY recorded_at")
    return {recipient.split("@")[0]: node_id for recipient, node_id in sent}


def test_counts_of_own_events_choose_the_message(product: Database) -> None:
    happens(product, 1, "workspace.created", 1, 2, 3, plan="evaluation")
    happens(product, 1, "workspace.created", 4, plan="pro")
    assert last_messages(product) == dict.fromkeys(("person1", "person2", "person3"), "welcome")
    happens(product, 2, "report_created", 1, 2, pages=1, is_sample=False)
    happens(product, 3, "report_created", 1, 3, pages=2, is_sample=True)
    happens(product, 4, "report_created", 1, pages=3, is_sample=False)
    assert "invite" not in last_messages(product).values()
    happens(product, 5, "report_created", 1, pages=12, is_sample=False)
    assert last_messages(product)["person1"] == "invite"
    (body,) = rows(product, "SELECT body FROM recorded_messages WHERE node_id = 'invite'")
    assert "third report has 12 pages" in body[0]
    run_until_idle(product, NOW + timedelta(days=4))
    assert last_messages(product) == {"person1": "invite", "person2": "more", "person3": "first"}


def test_the_names_and_properties_register_themselves(product: Database) -> None:
    happens(product, 1, "workspace.created", 1, plan="evaluation", source="website")
    happens(product, 2, "report_created", 1, pages=3, is_sample=False)
    with product.transaction() as connection:
        names = {name.event_type: name for name in event_names_db.listed(connection, None)}
    assert names["workspace.created"].properties == {"plan": "string", "source": "string"}
    assert names["report_created"].properties == {"pages": "number", "is_sample": "boolean"}
