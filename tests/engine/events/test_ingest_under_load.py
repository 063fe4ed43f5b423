"""Engines, ingesters and the count of days at once: nobody is lost, nothing counts twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any

from drip_pipeline.engine.events import chunking as chunking
from drip_pipeline.engine.metrics.daily_metrics import refresh_stale_days
from drip_pipeline.engine.operations.invariants import check_invariants
from tests.engine.events.incoming import ingest, rows
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    an_event,
    contacts,
    enrolled,
    run_until_idle,
    sent_messages,
)
from tests.engine.graphs import email, end, graph, trigger, wait_for, wait_hours

LATER = NOW + timedelta(hours=5)
CAMPAIGN = graph(
    trigger("first"),
    email("first", default="opening"),
    wait_for("opening", "email_opened", event="second", timeout="third"),
    email("second", default="buying"),
    wait_for("buying", "purchase", event="third", timeout="third"),
    email("third", default="pause"),
    wait_hours("pause", 1, default="end"),
    end(),
)
TYPES = ("email_opened",) * 5 + ("purchase",) * 3 + ("email_delivered", "email_unsubscribed")
MISSED = """
SELECT s.id
FROM campaign_workflow_states s
JOIN (
    SELECT e.enrollment_id, e.event_type, e.created_at AS at
    FROM campaign_events e WHERE e.event_source <> 'system'
    UNION ALL
    SELECT n.id, x.event_type, x.occurred_at
    FROM contact_events x JOIN campaign_enrollments n ON n.contact_id = x.contact_id
) h ON h.enrollment_id = s.id AND h.event_type = s.wait_for_event AND h.at >= s.last_message_at
"""


def test_concurrent_engines_and_ingesters_lose_and_repeat_nothing(database, monkeypatch):
    monkeypatch.setattr(chunking, "PARTED_FROM", 20)
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, CAMPAIGN)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 200))
    run_until_idle(database)

    def run_engine(_: int) -> int:
        for minute in range(25):
            run_until_idle(database, NOW + timedelta(minutes=minute * 10))
        return 0

    def let_events_come(worker: int) -> int:
        chance = Random(worker)
        resumed = 0
        for turn in range(12):
            with database.transaction() as connection:
                sent = sent_messages(connection, campaign)
            lines = []
            for number, message in enumerate(chance.sample(sent, min(len(sent), 80))):
                event_type = chance.choice(TYPES)
                recipient: dict[str, Any] = {"message_id": message.message_id}
                if event_type == "purchase":
                    recipient = {"email": message.email}
                name = f"{worker}-{turn}-{number}"
                lines.append(an_event(name, event_type, occurred_at=LATER.isoformat(), **recipient))
            resumed += ingest(database, lines, now=LATER, chunk_size=50).resumed
            assert ingest(database, lines[::3], now=LATER).accepted == 0
        return resumed

    def count_days(_: int) -> int:
        for _turn in range(10):
            refresh_stale_days(database, now=LATER)
        return 0

    jobs = [run_engine, run_engine, let_events_come, let_events_come, count_days]
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job, number) for number, job in enumerate(jobs)]
        assert sum(job.result() for job in running) > 100
    refresh_stale_days(database, now=LATER)
    results = check_invariants(database, now=LATER, are_metrics_fresh=True)
    assert [result.name for result in results if not result.holds] == []
    assert rows(database, MISSED) == []
