"""A row that a trigger of an application refuses, at once or at the commit, stops alone when its
contact advances, is leased, skipped or recovered; the incidents name the contact."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import EmailConfig
from drip_pipeline.engine.delivery.recover import Recovered, recover
from drip_pipeline.engine.operations import incidents
from tests.channels.email.smtp_servers import Script
from tests.engine.delivery.sending import Sender, one_step
from tests.engine.factories import NOW
from tests.engine.graphs import add_tag, email, end, graph, trigger
from tests.engine.isolation.refusing import KINDS, refuse_rows

Start = Callable[..., Sender]
MAIL = one_step(EmailConfig(subject="Hello", body="Dear {{ name }}"), node_type="email")
TAGGED = graph(trigger("tag"), add_tag("tag", "vip", default="m"), email("m", default="end"), end())
LATER = NOW + timedelta(hours=1)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused(sender: Sender, contact_id: UUID, kind: str, table: str, **how: str) -> None:
    with sender.database.transaction() as connection:
        refuse_rows(connection, table, contact_id, kind, **how)


def entered(sender: Sender, flow: CampaignGraph) -> list[UUID]:
    """Enroll nine contacts, and return them."""
    sender.enroll(flow, 9)
    return [row[0] for row in sender.rows("SELECT contact_id FROM campaign_enrollments ORDER BY 1")]


def named(database: Database) -> dict[str, str]:
    """The contacts that the incidents name, with their reasons."""
    found = incidents.current(database, now=NOW, backlog_minutes=10_000)
    details: list[Any] = [incident.details for incident in found]
    people = [each for detail in details for each in detail.get("contacts", ())]
    return {each["contact_id"]: each["reason"] for each in people}


@pytest.mark.parametrize(
    ("table", "how"),
    [
        ("contacts", {"of": "new.id"}),
        ("campaign_deliveries", {}),
        ("campaign_events", {"when": "new.event_type = 'tag_added'"}),
    ],
    ids=["contacts", "deliveries", "events"],
)
def test_a_step_that_cannot_be_written_is_retried_alone(
    sending: Start, kind: str, table: str, how: dict[str, str]
) -> None:
    sender = sending(delivery="record")
    people = entered(sender, TAGGED)
    refused(sender, people[4], kind, table, **how)
    for hours in range(12):
        sender.run(NOW + timedelta(hours=hours))
    assert sender.states() == {"completed": 8, "failed": 1}
    reasons = named(sender.database)
    assert list(reasons) == [str(people[4])]
    assert "could not be written" in reasons[str(people[4])]


def test_a_state_that_cannot_be_written_at_all_stays_and_the_run_ends(
    sending: Start, kind: str
) -> None:
    sender = sending(delivery="record")
    people = entered(sender, MAIL)
    refused(sender, people[4], kind, "campaign_workflow_states")
    sender.run()
    assert sender.states() == {"completed": 8, "running": 1}
    assert "a step could not be written" in named(sender.database)[str(people[4])]
    with sender.database.transaction() as connection:
        connection.execute("DROP TRIGGER refuse ON campaign_workflow_states")
    sender.run()
    assert sender.states() == {"completed": 9}


def test_a_message_that_cannot_be_marked_is_not_sent_and_the_others_are(
    smtp: Callable[..., Script], sending: Start, kind: str
) -> None:
    script = smtp()
    sender = sending(smtp=script)
    people = entered(sender, MAIL)
    refused(sender, people[4], kind, "campaign_deliveries", when="new.status = 'sending'")
    sender.run()
    assert len(script.received) == 8
    assert sender.deliveries() == {"sent": 8, "pending": 1}
    assert "a message could not be settled" in named(sender.database)[str(people[4])]
    with sender.database.transaction() as connection:
        connection.execute("DROP TRIGGER refuse ON campaign_deliveries")
    sender.run(LATER)
    assert sender.deliveries() == {"sent": 9}


@pytest.mark.parametrize("delivery", ["record", "send"])
def test_a_message_that_cannot_be_skipped_is_set_aside(
    smtp: Callable[..., Script], sending: Start, kind: str, delivery: str
) -> None:
    sender = sending(smtp=smtp()) if delivery == "send" else sending(delivery="record")
    people = entered(sender, MAIL)
    with sender.database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions"
            " (workspace_id, contact_id, address, reason, source, created_at)"
            " SELECT workspace_id, id, email, 'manual', 'operator', now() FROM contacts"
            " WHERE id = ANY(%s)",
            [people[3:5]],
        )
    refused(sender, people[4], kind, "campaign_deliveries", when="new.status = 'skipped'")
    sender.run()
    assert sender.deliveries() == {"sent": 7, "skipped": 1, "pending": 1}
    assert list(named(sender.database)) == [str(people[4])]


def test_a_lease_that_cannot_be_recovered_leaves_the_others(sending: Start, kind: str) -> None:
    sender = sending()
    people = entered(sender, MAIL)
    sender.run()
    with sender.database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_deliveries SET status = 'sending', due_at = NULL, attempts = 1,"
            " settled_at = NULL, leased_until = %s, lease_token = gen_random_uuid()",
            [NOW],
        )
    refused(sender, people[4], kind, "campaign_deliveries")
    for unknown in (8, 0):
        assert recover(sender.database, now=NOW + timedelta(minutes=1)).unknown == unknown
    assert sender.deliveries() == {"unknown": 8, "sending": 1}
    assert "a delivery could not be recovered" in named(sender.database)[str(people[4])]


def test_a_state_that_cannot_be_resumed_leaves_the_others(sending: Start, kind: str) -> None:
    sender = sending(delivery="record")
    people = entered(sender, MAIL)
    with sender.database.transaction() as connection:
        connection.execute("UPDATE campaign_workflow_states SET workflow_status = 'paused'")
    refused(sender, people[4], kind, "campaign_workflow_states")
    assert recover(sender.database, now=NOW) == Recovered(resumed=8)
    assert "a step could not be recovered" in named(sender.database)[str(people[4])]


def test_a_paused_state_that_cannot_be_suspended_leaves_the_others(
    sending: Start, kind: str
) -> None:
    sender = sending(delivery="record")
    people = entered(sender, MAIL)
    with sender.database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_enrollments SET status = 'paused' WHERE contact_id = ANY(%s)",
            [people[:6]],
        )
    refused(sender, people[4], kind, "campaign_workflow_states")
    sender.run()
    assert sender.states() == {"completed": 3, "paused": 5, "running": 1}
