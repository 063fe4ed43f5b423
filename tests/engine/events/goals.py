"""A campaign whose goal ends runs, and what became of its runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.conditions.event_matcher import GoalEvent
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.engine.operations.invariants import check_invariants
from tests.engine.events.incoming import minutes, rows
from tests.engine.factories import (
    a_published_campaign,
    an_event,
    contacts,
    enrolled,
)
from tests.engine.graphs import email, end, goal, graph, trigger, wait_hours

DAY = timedelta(days=1)


def two_mails(purchase: GoalEvent | None = None) -> CampaignGraph:
    return replace(
        graph(
            trigger("first"),
            email("first", default="pause"),
            wait_hours("pause", 24, default="second"),
            email("second", default="end"),
            end(),
            goal=purchase or goal("purchase", 48),
        ),
        exits_at_goal=True,
    )


def purchase(number: int, person: int, after_minutes: float, **data: Any) -> dict[str, Any]:
    owner = {"email": f"person{person}@example.com"}
    return an_event(
        number, "purchase", occurred_at=minutes(after_minutes), data={"value": 10} | data, **owner
    )


def runs(database: Database) -> list[tuple[Any, ...]]:
    """Address, status, exit reason and enrollment status of each run, with the events of its goal
    and the messages that it got."""
    return rows(
        database,
        "SELECT k.email, s.workflow_status, s.exit_reason, e.status,"
        " (SELECT count(*) FROM campaign_events v"
        "  WHERE v.enrollment_id = e.id AND v.event_type = 'goal_reached'),"
        " (SELECT count(*) FROM campaign_message_outcomes o WHERE o.enrollment_id = e.id)"
        " FROM campaign_workflow_states s JOIN campaign_enrollments e ON e.id = s.id"
        " JOIN contacts k ON k.id = e.contact_id ORDER BY 1",
    )


def holds(database: Database, now: datetime) -> None:
    assert [r.name for r in check_invariants(database, now=now) if not r.holds] == []


def inside(database: Database, count: int) -> None:
    """Enroll contacts in a campaign of two mails, and send nothing yet."""
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, two_mails())
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, count))


def at_goal(person: int, messages: int) -> tuple[Any, ...]:
    return (f"person{person}@example.com", "exited", "goal", "completed", 1, messages)


def completed(person: int) -> tuple[Any, ...]:
    return (f"person{person}@example.com", "completed", None, "completed", 0, 2)


FILE: dict[str, Any] = {
    "name": "Goal",
    "goal_event": {"event_type": "purchase", "within": {"value": 7, "unit": "days"}},
    "steps": [
        {"node_type": "email", "node_id": "first", "channel_config": {"email": {
            "subject": "Buy", "body": "x {{ unsubscribe_url }}"}}},
        {"node_type": "wait", "node_id": "pause", "wait_config": {
            "type": "duration", "value": 2, "unit": "days"}},
        {"node_type": "email", "node_id": "second", "channel_config": {"email": {
            "subject": "Still not bought?", "body": "x {{ unsubscribe_url }}"}}},
    ],
}  # fmt: skip
