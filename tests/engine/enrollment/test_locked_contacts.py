"""A row lock that somebody else holds on a contact delays the enrollment of that contact only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import orjson
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.enrollment.audience import Contacts, Everybody, Selection
from drip_pipeline.engine.enrollment.enroll import EntryOptions, enroll
from drip_pipeline.engine.enrollment.entry_triggers import pending_entries, run_entry_triggers
from drip_pipeline.engine.enrollment.webhook_trigger import enroll_by_webhook
from tests.engine.enrollment.arrivals import (
    BY_TAG,
    LETTER,
    entered_by,
    inside,
    look,
    look_until_open,
    purchase,
    set_up,
    tag,
)
from tests.engine.factories import NOW, run_until_idle

FOR_UPDATE = "SELECT id FROM contacts WHERE id = %s FOR UPDATE"


def queue(database: Database) -> int:
    """Return how many contacts are queued."""
    with database.transaction() as connection:
        row = connection.execute("SELECT count(*) FROM campaign_entry_queue").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("chunk_size", [1, 2, 100])
@pytest.mark.parametrize("re_entry", ["once", "per_key"])
def test_a_trigger_enrolls_the_others_and_the_locked_contact_later(
    database: Database, chunk_size: int, re_entry: Any
) -> None:
    campaign, people = set_up(database, entered_by(trigger="tag", tag="vip", re_entry=re_entry), 5)
    tag(database, people)
    with database.transaction() as other:
        other.execute(FOR_UPDATE, [people[1]])
        run_entry_triggers(database, now=NOW, chunk_size=chunk_size)
        run_entry_triggers(database, now=NOW, chunk_size=chunk_size)
        run_entry_triggers(database, now=NOW, chunk_size=chunk_size)
        assert inside(database, campaign) == sorted({*people} - {people[1]})
        assert queue(database) == 1
        assert pending_entries(database, NOW).campaigns == ["Welcome"]
    assert look(database) == {"enrolled": 1}
    assert inside(database, campaign) == sorted(people)
    assert queue(database) == 0


def test_an_event_keeps_its_run_until_the_contact_is_free(database: Database) -> None:
    by_event = entered_by(trigger="event", event_type="purchase", re_entry="per_key")
    campaign, people = set_up(database, by_event, 2)
    with database.transaction() as connection:
        for contact_id in [*people, people[0]]:
            purchase(connection, campaign, contact_id, NOW + timedelta(seconds=1))
    with database.transaction() as other:
        other.execute(FOR_UPDATE, [people[0]])
        assert look(database) == {"enrolled": 1}
        assert queue(database) == 2
    assert look(database) == {"enrolled": 2}
    with database.transaction() as connection:
        keys = connection.execute(
            "SELECT entry_key FROM campaign_enrollments EXCEPT SELECT id::text FROM contact_events"
        ).fetchall()
    assert keys == []


def test_a_scan_queues_the_locked_contact(database: Database) -> None:
    backfill = entered_by(trigger="tag", tag="vip", backfill=True)
    campaign, people = set_up(database, backfill, 5, tags="{vip}")
    with database.transaction() as other:
        other.execute(FOR_UPDATE, [people[1]])
        assert look_until_open(database, chunk_size=2) == {"enrolled": 4}
        assert queue(database) == 1
    assert look(database) == {"enrolled": 1}
    assert inside(database, campaign) == sorted(people)


def test_a_contact_that_is_being_deleted_is_not_awaited(database: Database) -> None:
    campaign, people = set_up(database, BY_TAG, 3)
    tag(database, people)
    with database.transaction() as other:
        other.execute("DELETE FROM contacts WHERE id = %s", [people[1]])
        assert look(database) == {"enrolled": 2}
        assert queue(database) == 1
    assert look(database) == {"no_longer": 1}
    assert queue(database) == 0
    assert len(inside(database, campaign)) == 2


def test_a_tick_advances_the_others(database: Database) -> None:
    _, people = set_up(database, BY_TAG, 3)
    tag(database, people)
    with database.transaction() as other:
        other.execute(FOR_UPDATE, [people[1]])
        assert run_until_idle(database).delivered["email"].sent == 2
    assert run_until_idle(database).delivered["email"].sent == 1


def test_a_change_of_the_address_is_awaited_for_this_contact_only(database: Database) -> None:
    _, people = set_up(database, BY_TAG, 3)
    tag(database, people)
    with database.transaction() as other:
        other.execute("UPDATE contacts SET email = 'new@example.com' WHERE id = %s", [people[1]])
        assert look(database) == {"enrolled": 2}
    assert look(database) == {"enrolled": 1}
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT contact_email FROM campaign_enrollments WHERE contact_id = %s", [people[1]]
        ).fetchall()
    assert rows == [("new@example.com",)]


@pytest.mark.parametrize("change", ["name = 'x'", "tags = '{a}'"])
def test_an_ordinary_update_delays_nobody(database: Database, change: str) -> None:
    _, people = set_up(database, LETTER, 3)
    with database.transaction() as other:
        other.execute(f"UPDATE contacts SET {change} WHERE id = %s", [people[1]])
        report = enroll(database, "Welcome", Everybody(), now=NOW)
    assert (report.enrolled, report.refused) == (3, {})


@pytest.mark.parametrize("spread_minutes", [0, 60])
def test_enrolling_refuses_the_locked_contact_and_a_repetition_enrolls_it(
    database: Database, spread_minutes: float
) -> None:
    campaign, people = set_up(database, LETTER, 4)
    options = EntryOptions(spread_minutes=spread_minutes)
    audiences: list[Selection] = [Everybody(), Contacts(tuple(people))]
    with database.transaction() as other:
        other.execute(FOR_UPDATE, [people[1]])
        for enrolled, audience in zip((3, 0), audiences, strict=True):
            report = enroll(database, "Welcome", audience, now=NOW, options=options)
            assert (report.enrolled, report.already_in) == (enrolled, 3 - enrolled)
            assert report.refused == {"locked": 1}
    report = enroll(database, "Welcome", Everybody(), now=NOW, options=options)
    assert (report.enrolled, report.already_in, report.refused) == (1, 3, {})
    assert inside(database, campaign) == sorted(people)


def test_a_locked_contact_that_is_refused_anyway_has_its_own_reason(database: Database) -> None:
    _, people = set_up(database, LETTER, 2)
    enroll(database, "Welcome", Everybody(), now=NOW)
    with database.transaction() as other:
        other.execute(FOR_UPDATE, [people[1]])
        report = enroll(database, "Welcome", Everybody(), now=NOW)
    assert (report.already_in, report.refused) == (2, {})


def test_a_webhook_call_waits_for_its_contact(database: Database) -> None:
    campaign, people = set_up(database, entered_by(trigger="webhook"), 2)
    with database.transaction() as connection:
        rows = connection.execute("SELECT email FROM contacts ORDER BY email").fetchall()
    body = orjson.dumps([{"email": email} for (email,) in rows])
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as other:
            other.execute(FOR_UPDATE, [people[1]])
            call = pool.submit(enroll_by_webhook, database, "Welcome", body, now=NOW)
            with pytest.raises(TimeoutError):
                call.result(timeout=0.5)
        result = call.result(timeout=10)
    assert (result.enrolled, result.refused) == (2, {})
    assert inside(database, campaign) == sorted(people)


def test_an_occurrence_of_a_schedule_reaches_the_locked_contact_later(database: Database) -> None:
    daily = entered_by(trigger="schedule", cron="0 9 * * *", re_entry="per_key")
    campaign, people = set_up(database, daily, 3)
    with database.transaction() as other:
        other.execute(FOR_UPDATE, [people[1]])
        assert look(database, NOW + timedelta(days=1)) == {"enrolled": 2}
        assert queue(database) == 1
    assert look(database, NOW + timedelta(days=1)) == {"enrolled": 1}
    assert look(database, NOW + timedelta(days=1)) == {}
    assert inside(database, campaign) == sorted(people)
