"""A row lock that somebody else holds on a contact delays that contact only."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from tests.engine.events.incoming import rows
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
    the_workspace,
)
from tests.engine.graphs import add_tag, email, end, graph, trigger

TAGGED = "SELECT count(*) FROM contacts WHERE 'seen' = ANY(tags)"
DUE = "SELECT id, next_execution_at FROM campaign_workflow_states WHERE completed_at IS NULL"
DIRECT = graph(trigger("tag"), add_tag("tag", "seen", default="end"), end())
AFTER_MAIL = graph(
    trigger("mail"), email("mail", default="tag"), add_tag("tag", "seen", default="end"), end()
)


@pytest.mark.parametrize("campaign_graph", [DIRECT, AFTER_MAIL], ids=["direct", "after an email"])
@pytest.mark.parametrize(
    "lock",
    [
        "SELECT id FROM contacts WHERE email = 'person2@example.com' FOR UPDATE",
        "SELECT id FROM contacts WHERE email = 'person2@example.com' FOR SHARE",
        "UPDATE contacts SET name = 'x' WHERE email = 'person2@example.com'",
    ],
)
def test_only_the_locked_contact_waits(
    database: Database, campaign_graph: CampaignGraph, lock: str
) -> None:
    with database.transaction() as connection:
        workspace_id = the_workspace(connection)
        campaign = a_published_campaign(connection, campaign_graph, workspace_id=workspace_id)
        people = contacts(connection, workspace_id, 5)
        enrolled(connection, campaign, people)
    with database.transaction() as other:
        other.execute(lock)
        run_until_idle(database, NOW)
        assert rows(database, TAGGED) == [(4,)]
        ((_, due_at),) = rows(database, DUE)
        assert due_at == NOW + timedelta(minutes=1)
    run_until_idle(database, NOW + timedelta(minutes=1))
    assert rows(database, TAGGED) == [(5,)]
    assert rows(database, DUE) == []
    assert rows(database, "SELECT DISTINCT retry_count FROM campaign_workflow_states") == [(0,)]
    messages = 5 if campaign_graph is AFTER_MAIL else 0
    assert rows(database, "SELECT count(*) FROM recorded_messages") == [(messages,)]
