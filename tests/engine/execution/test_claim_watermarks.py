"""Claim watermarks shorten claims and skip no due state."""

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
def _every_claim_stores_a_watermark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_module, "WATERMARK_FROM", 1)


def waiting_states(database: Database, count: int) -> list[UUID]:
    """Enrollments with waits that end a minute apart, the first at NOW."""
    with database.transaction() as connection:
        campaign = a_published_campaign(
            connection, graph(trigger("pause"), wait_hours("pause", 1, default="end"), end())
        )
        states = enrolled(connection, campaign, contacts(connection, campaign.workspace_id, count))
        for minute, state in enumerate(states):
            connection.execute(
                "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE id = %s",
                [NOW + timedelta(minutes=minute), state],
            )
    return states


def moved(database: Database, size: int, *, now: object = LATER) -> list[UUID]:
    """Claim states, make them due much later, store the watermark and commit, as a batch does."""
    with database.transaction() as connection:
        claim = claim_due(connection, batch_size=size, now=now)  # type: ignore[arg-type]
        ids = [state.id for state in claim.states]
        connection.execute(
            "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE id = ANY(%s)",
            [NOW + LONG, ids],
        )
        claim.write_watermarks(connection, LATER)
    return ids


def test_a_claim_starts_at_the_watermark_of_the_one_before(database: Database) -> None:
    states = waiting_states(database, 5)
    assert moved(database, 2) == states[:2]
    with database.transaction() as connection:
        watermark = connection.execute("SELECT due_from FROM campaign_claim_watermarks").fetchone()
    assert watermark == (NOW + timedelta(minutes=1),)
    assert moved(database, 2) == states[2:4]
    assert moved(database, 2) == states[4:]
    assert moved(database, 2) == []


def test_states_before_the_watermark_are_claimed_when_no_others_are_due(
    database: Database,
) -> None:
    states = waiting_states(database, 4)
    moved(database, 3)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE id = %s",
            [NOW - timedelta(days=1), states[0]],
        )
    assert moved(database, 3) == states[3:]
    assert moved(database, 3) == states[:1]


def test_a_watermark_expires_after_five_minutes(database: Database) -> None:
    states = waiting_states(database, 4)
    moved(database, 3)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE id = %s",
            [NOW - timedelta(days=1), states[0]],
        )
    assert moved(database, 1, now=LATER + timedelta(minutes=5)) == states[:1]


def test_a_rolled_back_batch_stores_no_watermark(
    database: Database,
) -> None:
    states = waiting_states(database, 3)
    with database.transaction() as connection:
        claim_due(connection, batch_size=2, now=LATER).write_watermarks(connection, LATER)
        connection.rollback()
    assert moved(database, 3) == states


def test_a_locked_watermark_is_skipped_without_waiting(
    database: Database,
) -> None:
    states = waiting_states(database, 6)
    moved(database, 1)
    with database.transaction() as first, database.transaction() as second:
        one = claim_due(first, batch_size=2, now=LATER)
        two = claim_due(second, batch_size=2, now=LATER)
        assert [s.id for s in one.states] == states[1:3]
        assert [s.id for s in two.states] == states[3:5]
        second.execute("SET LOCAL lock_timeout = '1s'")
        one.write_watermarks(first, LATER)
        two.write_watermarks(second, LATER)


def test_an_engine_with_watermarks_completes_every_enrollment(database: Database) -> None:
    states = waiting_states(database, 7)
    run_until_idle(database, LATER)
    report = run_until_idle(database, LATER + timedelta(hours=2))
    assert report.is_idle
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT count(*) FROM campaign_workflow_states WHERE workflow_status = 'completed'"
        ).fetchone()
    assert rows == (len(states),)
