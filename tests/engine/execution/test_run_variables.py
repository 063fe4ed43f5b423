"""What a run knows: entry data, the event that ended a wait, and what actions set."""

from __future__ import annotations

from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import Branch, ConditionConfig, SplitConfig, Variant
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.enrollment.enroll import admit, lock_entry_terms
from tests.engine.events.incoming import rows
from tests.engine.factories import NOW, a_published_campaign, contacts, run_until_idle
from tests.engine.graphs import add_tag, end, graph, node, trigger

ORDER: dict[str, Any] = {"order_id": "A-7", "total": "120.50", "items": [{"sku": "tea"}]}


def field(name: str, operator: str, value: object = None) -> dict[str, Any]:
    """Return a condition on a field."""
    return {"type": "field", "field": name, "operator": operator, "value": value}


def asks(condition: dict[str, Any]) -> CampaignGraph:
    """Return a graph that tags a run `yes` if the condition holds."""
    branches = (
        Branch.model_validate({"id": "yes", "condition": condition}),
        Branch.model_validate({"id": "else"}),
    )
    return graph(
        trigger("c"),
        node("c", "condition", ConditionConfig(branches=branches), yes="t", else_="end"),
        add_tag("t", "yes", default="end"),
        end(),
    )


def enter(database: Database, flow: CampaignGraph, *data: Any, fields: str = "{}") -> list[Any]:
    """Enroll a contact with each of the entry data, and run; return the tags of each contact."""
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow)
        ids = contacts(connection, campaign.workspace_id, len(data))
        connection.execute("UPDATE contacts SET custom_fields = %s::jsonb", [fields])
        target = find_campaign(connection, campaign.campaign_id)
        terms = lock_entry_terms(connection, target)
        keyed: list[tuple[Any, str | None]] = [(contact_id, None) for contact_id in ids]
        admit(connection, target, terms, keyed, spread_minutes=0, now=NOW, entry_data=data)
    run_until_idle(database)
    tags = dict(rows(database, "SELECT id, tags FROM contacts"))
    return [tags[contact_id] or [] for contact_id in ids]


@pytest.mark.parametrize(
    "condition",
    [
        field("entry.total", ">", 100),
        field("entry.order_id", "==", "A-7"),
        field("entry.items[0].sku", "==", "tea"),
        field("entry.items.0.sku", "==", "tea"),
        field("entry", "is not empty"),
        field("event", "is empty"),
    ],
)
def test_conditions_read_the_entry_data_of_their_own_run(
    database: Database, condition: dict[str, Any]
) -> None:
    other = {"total": 99, "order_id": "B", "items": []}
    is_shared = condition["operator"] in ("is not empty", "is empty")
    first, second = enter(database, asks(condition), ORDER, other)
    assert first == ["yes"]
    assert second == (["yes"] if is_shared else [])


def test_a_custom_field_is_read_where_the_run_has_no_such_variable(database: Database) -> None:
    fields = '{"entry": {"total": 500}, "entry.total": 700, "vars": {"x": 1}}'
    condition = field("entry.total", ">", 300)
    parts = [condition, field("vars.x", "==", 1)]
    both = {"type": "composite", "logic": "AND", "sub_conditions": parts}
    with_data, without = enter(database, asks(both), ORDER, None, fields=fields)
    assert with_data == []
    assert without == ["yes"]


def test_a_custom_field_with_the_name_of_a_variable_is_read_by_its_prefix(
    database: Database,
) -> None:
    fields = '{"entry": {"total": 500}}'
    condition = field("custom_fields.entry.total", "==", 500)
    assert enter(database, asks(condition), ORDER, fields=fields) == [["yes"]]


def test_a_split_assigns_by_entry_data(database: Database) -> None:
    variants = (
        Variant(id="gold", percentage=50, values=("gold",)),
        Variant(id="basic", percentage=50, values=("basic",)),
    )
    split = SplitConfig(variants=variants, from_field="entry.plan")
    flow = graph(
        trigger("s"),
        node("s", "split", split, gold="t", basic="end"),
        add_tag("t", "gold", default="end"),
        end(),
    )
    assert enter(database, flow, {"plan": "Gold"}, {"plan": "basic"}) == [["gold"], []]


def test_entry_data_that_cannot_be_read_stops_its_own_run_only(database: Database) -> None:
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, asks(field("entry.total", ">", 100)))
        ids = contacts(connection, campaign.workspace_id, 2)
        deep = '{"total": ' + "[" * 2000 + "]" * 2000 + "}"
        for contact_id, data in zip(ids, (deep, '{"total": 101}'), strict=True):
            connection.execute(
                "INSERT INTO campaign_enrollments (campaign_id, contact_id, started_at,"
                " personalization_data) VALUES (%s, %s, %s, %s::jsonb)",
                [campaign.campaign_id, contact_id, NOW, data],
            )
    run_until_idle(database)
    states = rows(
        database, "SELECT workflow_status, last_error FROM campaign_workflow_states ORDER BY 1"
    )
    assert [status for status, _ in states] == ["completed", "failed"]
    assert "personalization_data" in states[1][1]
