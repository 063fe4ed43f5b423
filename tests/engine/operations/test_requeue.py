"""Requeue what failed: by campaign, batch, node and time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.campaign import archive
from drip_pipeline.engine.operations.requeue import requeue
from drip_pipeline.errors import CampaignNotFound, NotAllowed, NotFound
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    contacts,
    enrolled,
    people_inside,
    run_until_idle,
    sent_messages,
)
from tests.engine.graphs import email, end, graph, trigger, wait_hours

HOUR = timedelta(hours=1)
FLOW = graph(
    trigger("first"),
    email("first", default="rest"),
    wait_hours("rest", 1, default="second"),
    email("second", default="end"),
    end(),
)


def rows(database: Database, statement: str, *params: Any) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(statement, params).fetchall()


def states(database: Database) -> dict[str, int]:
    return dict(
        rows(database, "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1")
    )


def fail_states(database: Database, count: int) -> Any:
    """Fail this many states as a batch does. Return the id of the batch."""
    batch = uuid4()
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_batches (id, kind, outcome, engine_now, duration_ms, size) "
            "VALUES (%s, 'advance', 'committed', %s, 1, %s)",
            [batch, NOW, count],
        )
        connection.execute(
            "UPDATE campaign_workflow_states SET workflow_status = 'failed', completed_at = %s, "
            "next_execution_at = NULL, retry_count = 4, last_error = 'x', batch_id = %s "
            "WHERE id IN (SELECT id FROM campaign_workflow_states WHERE workflow_status = 'waiting'"
            " ORDER BY id LIMIT %s)",
            [NOW, batch, count],
        )
    return batch


def test_failed_states_of_a_campaign_continue_with_fresh_retries(database):
    campaign, _ = people_inside(database, FLOW, 3)
    fail_states(database, 2)
    back = requeue(database, campaign="Welcome", now=NOW + HOUR)
    assert (back.states, back.deliveries) == (2, 0)
    left = "SELECT DISTINCT retry_count, last_error FROM campaign_workflow_states"
    assert rows(database, left) == [(0, None)]
    run_until_idle(database, NOW + 2 * HOUR)
    assert states(database) == {"completed": 3}
    with database.transaction() as connection:
        assert len(sent_messages(connection, campaign)) == 6


def test_a_batch_requeues_only_its_own_states(database):
    people_inside(database, FLOW, 5)
    mine = fail_states(database, 2)
    fail_states(database, 1)
    assert requeue(database, batch_id=mine, now=NOW + HOUR).states == 2
    assert states(database)["failed"] == 1


def test_a_node_narrows_what_is_requeued(database):
    people_inside(database, FLOW, 2)
    fail_states(database, 2)
    assert requeue(database, campaign="Welcome", node_id="second", now=NOW).states == 0
    assert requeue(database, campaign="Welcome", node_id="rest", now=NOW).states == 2


def test_a_failed_delivery_is_sent_again_with_its_id(database):
    people_inside(database, FLOW, 1)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_deliveries SET status = 'failed', error_code = 'x', attempts = 4"
        )
        connection.execute("DELETE FROM campaign_message_outcomes")
        connection.execute("DELETE FROM campaign_events WHERE event_type = 'email_sent'")
        connection.execute("DELETE FROM recorded_messages")
        connection.execute(
            "UPDATE campaign_workflow_states s SET workflow_status = 'failed', completed_at = %s, "
            "next_execution_at = NULL, pending_delivery_id = d.id, current_node_id = 'first', "
            "resume_port = 'default' FROM campaign_deliveries d WHERE d.enrollment_id = s.id",
            [NOW],
        )
    before = rows(database, "SELECT id FROM campaign_deliveries")
    back = requeue(database, campaign="Welcome", now=NOW)
    assert (back.states, back.deliveries) == (0, 1)
    run_until_idle(database, NOW)
    assert rows(database, "SELECT delivery_id FROM recorded_messages") == before
    assert rows(database, "SELECT id, status FROM campaign_deliveries") == [(before[0][0], "sent")]
    assert states(database) == {"waiting": 1}


def test_unknown_objects_are_refused_by_name(database):
    people_inside(database, FLOW, 1)
    with pytest.raises(NotFound, match="no batch"):
        requeue(database, batch_id=uuid4(), now=NOW)
    with pytest.raises(CampaignNotFound):
        requeue(database, campaign="Nothing", now=NOW)
    with pytest.raises(NotAllowed, match="what to requeue"):
        requeue(database, now=NOW)
    archive(database, "Welcome", now=NOW)
    with pytest.raises(NotAllowed, match="is archived"):
        requeue(database, campaign="Welcome", now=NOW)


def test_since_requeues_all_campaigns_that_are_not_archived(database):
    people_inside(database, FLOW, 3, name="First")
    fail_states(database, 3)
    with database.transaction() as connection:
        second = a_published_campaign(connection, FLOW, name="Second", now=NOW)
        enrolled(connection, second, contacts(connection, second.workspace_id, 2, prefix="other"))
    run_until_idle(database)
    fail_states(database, 1)
    archive(database, "First", now=NOW)
    assert requeue(database, since=NOW + HOUR, now=NOW + HOUR).states == 0
    assert requeue(database, since=NOW - HOUR, now=NOW + HOUR).states == 1
    assert states(database) == {"failed": 3, "waiting": 1, "running": 1}


def test_a_rolled_back_batch_has_nothing_to_requeue(database):
    people_inside(database, FLOW, 1)
    batch = uuid4()
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_batches (id, kind, outcome, engine_now, duration_ms, size) "
            "VALUES (%s, 'advance', 'failed', %s, 1, 1)",
            [batch, NOW],
        )
    back = requeue(database, batch_id=batch, now=NOW)
    assert (back.states, back.deliveries) == (0, 0)
    assert "still due" in back.note
