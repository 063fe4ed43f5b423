"""Processes that store what people decide about topics are killed: a decision is stored with its
event and its audit row, or not at all, and nobody who said no gets a message.
"""

from __future__ import annotations

from datetime import timedelta

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.drain_inbox import drain_inbox
from tests.chaos.killed_process import kill_repeatedly
from tests.engine.delivery.topics import a_file, a_topic, entered, people, published
from tests.engine.events.incoming import rows
from tests.engine.factories import NOW, run_until_done, run_until_idle

PEOPLE = 40
KILLS = 5
_DECISIONS = """
import random, sys
from datetime import datetime, timedelta
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.events.preferences import choose_topics, subscribe_again
from drip_pipeline.engine.events.unsubscribe import unsubscribe

database = Database(sys.argv[1])
with database.transaction() as connection:
    sent = [row[0] for row in connection.execute("SELECT delivery_id FROM recorded_messages")]
chance = random.Random()
print("ready", flush=True)
now = last = datetime.fromisoformat(sys.argv[2])
while True:
    # No two decisions have the same time; this one stands still for a millisecond.
    while now <= last:
        now = datetime.fromisoformat(sys.argv[2]) + (datetime.now() - datetime(2026, 1, 1)) / 1_000
    last = now
    message = chance.choice(sent)
    decision = chance.random()
    if decision < 0.15:
        unsubscribe(database, message, now=now)
    elif decision < 0.3:
        subscribe_again(database, message, now=now)
    else:
        chosen = [topic for topic in ("tips", "billing") if chance.random() < 0.5]
        choose_topics(database, message, chosen, now=now)
"""


def test_decisions_are_stored_as_a_whole_or_not_at_all(database: Database) -> None:
    for topic in ("tips", "billing"):
        a_topic(database, topic)
    published(database, a_file("Tips", "tips"), a_file("Billing", "billing"))
    people(database, PEOPLE)
    entered(database, "Tips", "Billing")
    run_until_idle(database, NOW)
    assert (
        kill_repeatedly(
            _DECISIONS,
            [database.url, NOW.isoformat()],
            kills=KILLS,
            within=(0.1, 0.3),
            seed=20260302,
        )
        == KILLS
    )
    audited = rows(
        database,
        "SELECT object_id, details ->> 'topic', CASE action WHEN 'suppress' THEN"
        " 'topic_unsubscribed' ELSE 'topic_subscribed' END, occurred_at FROM operator_actions"
        " WHERE details ? 'topic' AND object_kind = 'contact' ORDER BY 4, 1, 2",
    )
    later = NOW + timedelta(days=2)
    assert drain_inbox(database, now=later).rejected == 0
    logged = rows(
        database,
        "SELECT contact_id, event_data ->> 'topic', event_type, created_at FROM campaign_events"
        " WHERE event_type LIKE 'topic%%' ORDER BY 4, 1, 2",
    )
    assert logged == audited
    assert len(logged) > KILLS
    latest = {(contact, topic): event_type for contact, topic, event_type, _ in logged}
    stored = rows(database, "SELECT contact_id, topic, 'topic_' || status FROM topic_consents")
    assert {(contact, topic): status for contact, topic, status in stored} == latest
    unsubscribed = {
        row[0] for row in rows(database, "SELECT contact_id FROM campaign_suppressions")
    }

    run_until_done(database, later)
    second = rows(
        database,
        "SELECT e.contact_id, lower(c.name) FROM recorded_messages m"
        " JOIN campaign_enrollments e ON e.id = m.enrollment_id"
        " JOIN drip_campaigns c ON c.id = m.campaign_id WHERE m.node_id = 'second'",
    )
    assert second
    for contact, topic in second:
        assert contact not in unsubscribed
        assert latest.get((contact, topic)) != "topic_unsubscribed"
