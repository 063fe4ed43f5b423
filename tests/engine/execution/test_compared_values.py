"""The values that decided are logged with the event of the decision, for each contact."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.graph.graph import GraphNode, NodeType
from drip_pipeline.domain.graph.nodes import ConditionConfig, EventWait, SplitConfig
from tests.engine.factories import (
    NOW,
    Published,
    a_published_campaign,
    contacts,
    enrolled,
    run_until_idle,
)
from tests.engine.graphs import end, graph, node, score_at_least, trigger


def condition(node_id: str, yes: str, else_: str, **keys: Any) -> GraphNode:
    branches = [
        {"id": "yes", "condition": Condition.model_validate(keys)},
        {"id": "else"},
    ]
    config = ConditionConfig.model_validate({"branches": branches})
    return node(node_id, NodeType.CONDITION, config, **{"yes": yes, "else": else_})


def run(database: Database, *nodes: GraphNode, **columns: list[Any]) -> dict[UUID, list[Any]]:
    """Run contacts with these values through a graph; return the data of their events by type."""
    count = len(next(iter(columns.values())))
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, graph(*nodes))
        contact_ids = contacts(connection, campaign.workspace_id, count)
        for name, values in columns.items():
            for contact_id, value in zip(contact_ids, values, strict=True):
                connection.execute(
                    "UPDATE contacts SET ai_score = coalesce(CASE WHEN %s = 'ai_score' THEN"
                    " %s::integer END, ai_score), custom_fields = custom_fields ||"
                    " jsonb_build_object(%s::text, %s::text) WHERE id = %s",
                    [name, value if name == "ai_score" else None, name, str(value), contact_id],
                )
        enrolled(connection, campaign, contact_ids)
    run_until_idle(database)
    return logged(database, campaign, contact_ids)


def logged(database: Database, campaign: Published, ids: list[UUID]) -> dict[UUID, list[Any]]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT contact_id, event_data FROM campaign_events WHERE campaign_id = %s AND"
            " event_type IN ('condition_evaluated', 'variant_assigned', 'wait_completed')"
            " ORDER BY created_at",
            [campaign.campaign_id],
        ).fetchall()
    return {each: [data for contact_id, data in rows if contact_id == each] for each in ids}


def test_contacts_of_one_branch_have_their_own_values(database: Database) -> None:
    events = run(
        database,
        trigger("score"),
        score_at_least("score", 50, yes="plan", else_="plan"),
        condition("plan", "end", "end", type="field", field="plan", operator="==", value="pro"),
        end(),
        ai_score=[80, 60, 10],
        plan=["pro", "free", "pro"],
    )
    assert list(events.values()) == [
        [
            {"branch": "yes", "compared": {"ai_score": 80}},
            {"branch": "yes", "compared": {"plan": "pro"}},
        ],
        [
            {"branch": "yes", "compared": {"ai_score": 60}},
            {"branch": "else", "compared": {"plan": "free"}},
        ],
        [
            {"branch": "else", "compared": {"ai_score": 10}},
            {"branch": "yes", "compared": {"plan": "pro"}},
        ],
    ]


def test_an_address_that_a_condition_compares_is_not_logged(database: Database) -> None:
    events = run(
        database,
        trigger("mail"),
        condition(
            "mail", "end", "end", type="field", field="email", operator="contains", value="@"
        ),
        end(),
        ai_score=[1, 2],
    )
    assert list(events.values()) == [[{"branch": "yes"}], [{"branch": "yes"}]]


def test_a_split_by_a_field_logs_the_field(database: Database) -> None:
    config = SplitConfig.model_validate(
        {
            "variants": [{"id": "a", "percentage": 50}, {"id": "b", "percentage": 50}],
            "from_field": "arm",
        }
    )
    events = run(
        database,
        trigger("s"),
        node("s", NodeType.SPLIT, config, a="end", b="end"),
        end(),
        arm=["A", "b"],
    )
    assert [data["compared"] for (data,) in events.values()] == [{"arm": "A"}, {"arm": "b"}]


def test_an_event_that_had_happened_is_logged_with_what_was_compared(database: Database) -> None:
    config = EventWait.model_validate(
        {
            "event_type": "order.paid",
            "where": {"type": "field", "field": "total", "operator": ">", "value": 100},
            "max_wait": {"value": 1, "unit": "days"},
        }
    )
    with database.transaction() as connection:
        campaign = a_published_campaign(
            connection,
            graph(
                trigger("w"), node("w", NodeType.WAIT, config, event="end", timeout="end"), end()
            ),
        )
        contact_ids = contacts(connection, campaign.workspace_id, 2)
        for contact_id, total in zip(contact_ids, (120, 130), strict=True):
            connection.execute(
                "INSERT INTO contact_events (workspace_id, contact_id, event_type, event_data,"
                " occurred_at) VALUES (%s, %s, 'order.paid', jsonb_build_object('total', %s::int),"
                " %s)",
                [campaign.workspace_id, contact_id, total, NOW + timedelta(minutes=1)],
            )
        enrolled(connection, campaign, contact_ids)
    run_until_idle(database, NOW + timedelta(minutes=2))
    events = logged(database, campaign, contact_ids)
    assert [data["compared"]["total"] for (data,) in events.values()] == [120, 130]
    assert {data["port"] for (data,) in events.values()} == {"event"}
