"""Marks make claims short and lose nobody."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.execution import claim as claim_module
from drip_pipeline.engine.execution.claim import claim_due
from tests.engine.factories import NOW, a_published_campaign, contacts, enrolled, run_until_idle
from tests.engine.graphs import end, graph, trigger, wait_hours

LATER = NOW + timedelta(minutes=10)
LONG = timedelta(days=3)


@pytest.fixture(autouse=True)
def _every_campaign_is_worth_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_module, "WATERMARK_FROM", 1)


def waiting_people(database: Database, count: int) -> list[UUID]:
    """People whose wait ends a minute apart, the first at NOW."""
    with database.transaction() as connection:
        campaign = a_published_campaign(
            connection, graph(trigger("pause"), wait_hours("pause", 1, default="end"), end())
        )
        people = enrolled(connection, campaign, contacts(connection, campaign.workspace_id, count))
        for minute, person in enumerate(people):
            connection.execute(
                "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE id = %s",
                [NOW + timedelta(minutes=minute), person],
            )
    return people


def moved(database: Database, size: int, *, now: object = LATER) -> list[UUID]:
    """Claim, put them far into the future, mark and commit, as a batch does."""
    with database.transaction() as connection:
        found = claim_due(connection, batch_size=size, now=now)  # type: ignore[arg-type]
        ids = [person.id for person in found.states]
        connection.execute(
            "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE id = ANY(%s)",
            [NOW + LONG, ids],
        )
        found.write_watermarks(connection, LATER)
    return ids


def test_claims_go_on_where_the_one_before_ended(database: Database) -> None:
    people = waiting_people(database, 5)
    assert moved(database, 2) == people[:2]
    with database.transaction() as connection:
        mark = connection.execute("SELECT due_from FROM campaign_claim_watermarks").fetchone()
    assert mark == (NOW + timedelta(minutes=1),)
    assert moved(database, 2) == people[2:4]
    assert moved(database, 2) == people[4:]
    assert moved(database, 2) == []


def test_who_is_due_before_the_mark_is_found_when_nobody_else_is(database: Database) -> None:
    people = waiting_people(database, 4)
    moved(database, 3)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE id = %s",
            [NOW - timedelta(days=1), people[0]],
        )
    assert moved(database, 3) == people[3:]
    assert moved(database, 3) == people[:1]


def test_a_mark_is_forgotten_after_five_minutes(database: Database) -> None:
    people = waiting_people(database, 4)
    moved(database, 3)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE id = %s",
            [NOW - timedelta(days=1), people[0]],
        )
    assert moved(database, 1, now=LATER + timedelta(minutes=5)) == people[:1]


def test_a_batch_that_rolls_back_leaves_no_mark_and_its_people_are_due(database: Database) -> None:
    people = waiting_people(database, 3)
    with database.transaction() as connection:
        claim_due(connection, batch_size=2, now=LATER).write_watermarks(connection, LATER)
        connection.rollback()
    assert moved(database, 3) == people


def test_two_engines_leave_each_others_mark_alone_and_wait_for_nothing(database: Database) -> None:
    people = waiting_people(database, 6)
    moved(database, 1)
    with database.transaction() as first, database.transaction() as second:
        one = claim_due(first, batch_size=2, now=LATER)
        two = claim_due(second, batch_size=2, now=LATER)
        assert [p.id for p in one.states] == people[1:3]
        assert [p.id for p in two.states] == people[3:5]
        second.execute("SET LOCAL lock_timeout = '1s'")
        one.write_watermarks(first, LATER)
        two.write_watermarks(second, LATER)


def test_an_engine_with_marks_brings_everybody_through(database: Database) -> None:
    people = waiting_people(database, 7)
    run_until_idle(database, LATER)
    report = run_until_idle(database, LATER + timedelta(hours=2))
    assert report.is_idle
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT count(*) FROM campaign_workflow_states WHERE workflow_status = 'completed'"
        ).fetchone()
    assert rows == (len(people),)
