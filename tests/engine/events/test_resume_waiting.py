"""Arriving events resume each waiting state exactly once, in any interleaving with the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event
from typing import Any
from uuid import uuid4

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import ingestion as events_db
from drip_pipeline.db.events.ingestion import AffectedStates
from drip_pipeline.engine.events.ingest import IngestReport
from drip_pipeline.engine.execution.advance import advance_batch, advance_states
from drip_pipeline.engine.execution.claim import claim_due
from drip_pipeline.engine.execution.transitions import group_by_position
from tests.engine.events.incoming import ingest, minutes, rows, value
from tests.engine.factories import (
    NOW,
    an_event,
    people_inside,
    run_until_idle,
    sent_messages,
)
from tests.engine.graphs import add_tag, email, end, graph, trigger, wait_for, wait_hours

HOUR = timedelta(hours=1)
# An hour passes between the message and the wait, so that events may come first.
SLOW = graph(
    trigger("mail"),
    email("mail", default="pause"),
    wait_hours("pause", 1, default="wait"),
    wait_for("wait", "email_opened", event="opened", timeout="ignored"),
    add_tag("opened", "opened", default="end"),
    add_tag("ignored", "ignored", default="end"),
    end(),
)
BUYER = graph(
    trigger("mail"),
    email("mail", default="pause"),
    wait_hours("pause", 1, default="wait"),
    wait_for("wait", "purchase", event="bought", timeout="ignored"),
    add_tag("bought", "bought", default="end"),
    add_tag("ignored", "ignored", default="end"),
    end(),
)


def an_open(database: Database, number: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """The open of the only message, five minutes after it was sent."""
    message_id = value(database, "SELECT message_id FROM campaign_message_outcomes")
    return [an_event(number, "email_opened", message_id=message_id, **fields)]


def a_purchase(_database: Database, **fields: Any) -> list[dict[str, Any]]:
    """A purchase of the only contact, who names no campaign."""
    return [an_event(1, "purchase", email="person1@example.com", **fields)]


ARRIVALS = [(SLOW, an_open, "opened"), (BUYER, a_purchase, "bought")]
Arrival = Callable[[Database], list[dict[str, Any]]]


@contextmanager
def in_background(job: Callable[[], IngestReport]) -> Iterator[Future[IngestReport]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(job)


def wait_until_blocked(database: Database) -> None:
    """Until some connection to this database waits for a lock."""
    for _ in range(1_000):
        if value(database, "SELECT count(*) FROM pg_locks l WHERE NOT l.granted"):
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


def passed_by_event_once(database: Database, node: str) -> bool:
    """Whether the only person took the event's way, once, and came to the end."""
    run_until_idle(database, NOW + 3 * HOUR)
    run_until_idle(database, NOW + timedelta(days=30))
    [(status, path)] = rows(
        database, "SELECT workflow_status, execution_path FROM campaign_workflow_states"
    )
    return (status, path) == ("completed", ["start", "mail", "pause", "wait", node, "end"])


# --- before, during, after ------------------------------------------------------------------------


@pytest.mark.parametrize(("campaign", "arrival", "node"), ARRIVALS)
def test_a_wait_finds_an_earlier_event_by_looking_back(database, campaign, arrival, node):
    people_inside(database, campaign, 1)
    assert ingest(database, arrival(database)).resumed == 0
    assert passed_by_event_once(database, node)


@pytest.mark.parametrize(("campaign", "arrival", "node"), ARRIVALS)
def test_an_event_after_the_start_of_its_wait_resumes_it(database, campaign, arrival, node):
    people_inside(database, campaign, 1)
    run_until_idle(database, NOW + HOUR)
    assert ingest(database, arrival(database), now=NOW + 2 * HOUR).resumed == 1
    assert ingest(database, arrival(database), now=NOW + 2 * HOUR).resumed == 0
    assert passed_by_event_once(database, node)


@pytest.mark.parametrize(("campaign", "arrival", "node"), ARRIVALS)
def test_an_event_waits_for_a_wait_that_is_being_written(database, campaign, arrival, node):
    people_inside(database, campaign, 1)
    events = arrival(database)
    with database.transaction() as engine:
        states = claim_due(engine, batch_size=9, now=NOW + HOUR).states
        batch = advance_states(engine, group_by_position(states), batch_id=uuid4(), now=NOW + HOUR)
        assert batch.sizes() == {"waiting": 1}
        with in_background(lambda: ingest(database, events, now=NOW + HOUR)) as ingestion:
            wait_until_blocked(database)
            engine.commit()
            assert ingestion.result().resumed == 1
    assert passed_by_event_once(database, node)


@pytest.mark.parametrize(("campaign", "arrival", "node"), ARRIVALS)
def test_a_wait_written_before_the_events_are_visible_is_resumed(
    database, campaign, arrival, node, monkeypatch
):
    people_inside(database, campaign, 1)
    events = arrival(database)
    lock_affected_states = events_db.lock_affected_states

    def parked_just_before(connection: Any) -> AffectedStates:
        # The events are written, not committed; the engine cannot see them, and parks.
        assert advance_batch(database, now=NOW + HOUR, batch_size=9).sizes == {"waiting": 1}
        return lock_affected_states(connection)

    monkeypatch.setattr(events_db, "lock_affected_states", parked_just_before)
    assert ingest(database, events, now=NOW + HOUR).resumed == 1
    assert passed_by_event_once(database, node)


@pytest.mark.parametrize(("campaign", "arrival", "node"), ARRIVALS)
def test_a_wait_cannot_begin_while_events_look_for_waiting_states(
    database, campaign, arrival, node, monkeypatch
):
    people_inside(database, campaign, 1)
    events = arrival(database)
    has_locked, may_go_on = Event(), Event()
    resume_waiting_states = events_db.resume_waiting_states

    def held_up(connection: Any, now: datetime, tolerance: timedelta) -> int:
        has_locked.set()
        assert may_go_on.wait(30)
        return resume_waiting_states(connection, now, tolerance)

    monkeypatch.setattr(events_db, "resume_waiting_states", held_up)
    with in_background(lambda: ingest(database, events, now=NOW + HOUR)) as ingestion:
        assert has_locked.wait(30)
        assert advance_batch(database, now=NOW + HOUR, batch_size=9).claimed == 0
        may_go_on.set()
        assert ingestion.result().resumed == 0
    assert advance_batch(database, now=NOW + HOUR, batch_size=9).sizes == {"completed": 1}
    assert passed_by_event_once(database, node)


# --- which states an event resumes ----------------------------------------------------------------


def test_one_chunk_resumes_exactly_the_states_of_its_events(database):
    campaign, _ = people_inside(database, SLOW, 300)
    run_until_idle(database, NOW + HOUR)
    with database.transaction() as connection:
        sent = sent_messages(connection, campaign)
    opens = [an_event(n, "email_opened", message_id=s.message_id) for n, s in enumerate(sent[:100])]
    clicks = [
        an_event(1_000 + n, "email_clicked", message_id=s.message_id)
        for n, s in enumerate(sent[100:200])
    ]
    report = ingest(database, clicks + opens, now=NOW + 2 * HOUR)
    assert (report.resumed, report.chunks) == (100, 1)
    assert advance_batch(database, now=NOW + 2 * HOUR, batch_size=1_000).sizes == {"completed": 100}
    ((tagged,),) = rows(database, "SELECT count(*) FROM contacts WHERE tags = '{opened}'")
    assert tagged == 100


def test_a_purchase_before_the_latest_message_resumes_no_state(database):
    people_inside(database, BUYER, 1)
    run_until_idle(database, NOW + HOUR)
    early = a_purchase(database, occurred_at=minutes(-3))
    assert ingest(database, early).resumed == 0
    # A clock that is two minutes behind is still believed.
    late = a_purchase(database, event_id="e-2", occurred_at=minutes(-2))
    assert ingest(database, late).resumed == 1


def test_an_open_of_the_latest_message_counts_whatever_the_clock_of_the_provider_says(database):
    people_inside(database, SLOW, 1)
    run_until_idle(database, NOW + HOUR)
    assert ingest(database, an_open(database, 1, occurred_at=minutes(-30))).resumed == 1


def test_an_open_of_a_machine_resumes_no_state(database):
    people_inside(database, SLOW, 1)
    run_until_idle(database, NOW + HOUR)
    assert ingest(database, an_open(database, 1, data={"machine": True})).resumed == 0
    assert ingest(database, an_open(database, 2)).resumed == 1


def test_an_event_of_one_campaign_resumes_no_state_of_another(database):
    people_inside(database, SLOW, 1)
    other = graph(
        trigger("wait"), wait_for("wait", "email_opened", event="end", timeout="end"), end()
    )
    people_inside(database, other, 1, name="Other", prefix="stranger")
    run_until_idle(database, NOW + HOUR)
    assert ingest(database, an_open(database), now=NOW + HOUR).resumed == 1
    assert rows(
        database,
        "SELECT c.name, s.workflow_status FROM campaign_workflow_states s "
        "JOIN drip_campaigns c ON c.id = s.campaign_id ORDER BY c.name",
    ) == [("Other", "waiting"), ("Welcome", "running")]


def test_a_purchase_resumes_the_contact_in_every_campaign_that_waits_for_it(database):
    _, [first] = people_inside(database, BUYER, 1)
    waiting = graph(
        trigger("wait"), wait_for("wait", "purchase", event="end", timeout="end"), end()
    )
    other, _ = people_inside(database, waiting, 1, name="Other", prefix="stranger")
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, started_at) "
            "SELECT %s, contact_id, %s FROM campaign_enrollments WHERE id = %s",
            [other.campaign_id, NOW, first],
        )
    run_until_idle(database, NOW + HOUR)
    bought = a_purchase(database, occurred_at=minutes(61))
    assert ingest(database, bought, now=NOW + 2 * HOUR).resumed == 2


def test_a_paused_enrollment_resumes_when_the_pause_ends(database):
    people_inside(database, SLOW, 1)
    run_until_idle(database, NOW + HOUR)
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_enrollments SET status = 'paused'")
    # The wait runs out during the pause: the state is parked where it is.
    run_until_idle(database, NOW + timedelta(days=3))
    assert value(database, "SELECT workflow_status FROM campaign_workflow_states") == "paused"
    assert ingest(database, an_open(database), now=NOW + timedelta(days=3)).resumed == 1
    assert value(database, "SELECT workflow_status FROM campaign_workflow_states") == "paused"
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_enrollments SET status = 'active'")
    assert passed_by_event_once(database, "opened")


def test_states_of_a_paused_campaign_are_resumed_and_stay_until_the_campaign_resumes(database):
    people_inside(database, SLOW, 1)
    run_until_idle(database, NOW + HOUR)
    with database.transaction() as connection:
        connection.execute("UPDATE drip_campaigns SET status = 'paused'")
    assert ingest(database, an_open(database)).resumed == 1
    assert advance_batch(database, now=NOW + 2 * HOUR, batch_size=9).claimed == 0
    with database.transaction() as connection:
        connection.execute("UPDATE drip_campaigns SET status = 'active'")
    assert passed_by_event_once(database, "opened")
