"""What a run knows: entry data, the event that ended a wait, and what actions set."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import (
    Branch,
    ConditionConfig,
    EmailConfig,
    FieldUpdateAction,
    SplitConfig,
    VariableAction,
    Variant,
)
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.enrollment.admission import admit
from drip_pipeline.engine.enrollment.entry_keys import RunEntry
from drip_pipeline.engine.enrollment.entry_terms import lock_entry_terms
from tests.engine.events.incoming import ingest, rows
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    an_event,
    contacts,
    people_inside,
    run_until_idle,
)
from tests.engine.graphs import add_tag, end, graph, node, trigger, wait_for, wait_hours

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
        entries = [RunEntry(key, None, each) for key, each in zip(ids, data, strict=True)]
        admit(connection, target, terms, entries, spread_minutes=0, now=NOW)
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


def sets(node_id: str, to: str, **values: Any) -> Any:
    """Return an action that sets variables."""
    return node(node_id, "action", VariableAction(set=values), default=to)


def updates(node_id: str, field_name: str, value: Any, to: str) -> Any:
    """Return an action that writes a field."""
    action = FieldUpdateAction(field=field_name, value=value)
    return node(node_id, "action", action, default=to)


def stored(database: Database) -> list[Any]:
    """Return the stored variables of runs, those of the first contact first."""
    return [
        variables
        for (variables,) in rows(
            database,
            "SELECT s.workflow_variables FROM campaign_workflow_states s"
            " JOIN contacts k ON k.id = s.contact_id ORDER BY k.email",
        )
    ]


def test_variables_are_read_in_the_same_tick_and_after_a_message(database: Database) -> None:
    branch = {"id": "yes", "condition": field("vars.total", ">", 200)}
    branches = (Branch.model_validate(branch), Branch.model_validate({"id": "else"}))
    mail = EmailConfig(subject="{{ vars.total }} {{ entry.order_id }}", body="{{ vars.note }}")
    flow = graph(
        trigger("a"),
        sets(
            "a",
            "b",
            total="{{ entry.total | plus: 100 }}",
            note="from {{ name }}",
            items="{{ entry.items }}",
        ),
        sets("b", "c", note=None, first="{{ vars.items[0].sku }}{{ vars.note }}"),
        node("c", "condition", ConditionConfig(branches=branches), yes="t", else_="m"),
        add_tag("t", "yes", default="m"),
        node("m", "email", mail, default="d"),
        sets("d", "end", total="{{ vars.total | plus: 1 }}"),
        end(),
    )
    assert enter(database, flow, ORDER, {"total": 1, "order_id": "B"}) == [["yes"], []]
    assert sorted(rows(database, "SELECT subject, body FROM recorded_messages")) == [
        ("101 B", None),
        ("220.5 A-7", None),
    ]
    assert stored(database) == [
        {"vars": {"total": 221.5, "items": [{"sku": "tea"}], "first": "teafrom Person 1"}},
        {"vars": {"total": 102, "first": "from Person 2"}},
    ]


def test_keys_of_applications_stay_in_the_variables_of_a_state(database: Database) -> None:
    flow = graph(
        trigger("a"),
        sets("a", "w", x=1),
        wait_hours("w", 1, default="b"),
        sets("b", "end", y=2),
        end(),
    )
    enter(database, flow, {})
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET workflow_variables ="
            " workflow_variables || '{\"email_opened\": true}'"
        )
    run_until_idle(database, NOW + timedelta(hours=1))
    assert stored(database) == [{"vars": {"x": 1, "y": 2}, "email_opened": True}]


def test_a_run_whose_values_cannot_be_set_fails_alone_with_the_cause(database: Database) -> None:
    flow = graph(
        trigger("a"),
        sets("a", "t", copy="{{ entry.text }}", n="{{ entry.n | divided_by: entry.d }}"),
        add_tag("t", "yes", default="end"),
        end(),
    )
    data = [
        {"text": "a" * size, "n": 1, "d": divisor}
        for size, divisor in ((9, 1), (32_700, 1), (9, 0))
    ]
    data[1] = {"text": "é" * 16_384, "n": 1, "d": 1}
    assert enter(database, flow, *data) == [["yes"], [], []]
    states = rows(
        database,
        "SELECT workflow_status, last_error, workflow_variables FROM campaign_workflow_states s"
        " JOIN contacts k ON k.id = s.contact_id ORDER BY k.email",
    )
    assert [status for status, _, _ in states] == ["completed", "running", "running"]
    assert (
        "action node 'a': the run's variables (vars) would become too large: it has 32,"
        in states[1][1]
    )
    assert "action node 'a': line 1: rendering failed with" in states[2][1]
    assert [variables for _, _, variables in states[1:]] == [{}, {}]


def test_field_updates_write_the_data_of_each_run(database: Database) -> None:
    branch = {"id": "yes", "condition": field("order.id", "==", "A-7")}
    branches = (Branch.model_validate(branch), Branch.model_validate({"id": "else"}))
    flow = graph(
        trigger("a"),
        updates("a", "company", "{{ entry.order_id | downcase }}", "b"),
        updates(
            "b", "order", {"id": "{{ entry.order_id }}", "total": "{{ entry.total }}", "n": 1}, "c"
        ),
        node("c", "condition", ConditionConfig(branches=branches), yes="t", else_="end"),
        add_tag("t", "yes", default="end"),
        end(),
    )
    assert enter(database, flow, ORDER, {"order_id": "B", "total": 7}, {}) == [["yes"], [], []]
    assert rows(
        database, "SELECT company, custom_fields -> 'order' FROM contacts ORDER BY email"
    ) == [
        ("a-7", {"id": "A-7", "total": "120.50", "n": 1}),
        ("b", {"id": "B", "total": 7, "n": 1}),
        ("", {"id": None, "total": None, "n": 1}),
    ]


def statements(
    database: Database, flow: CampaignGraph, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Return the names of the queries that advancing two runs of a graph executes."""
    names: list[str] = []
    text_of = queries.sql

    def counted(name: str) -> str:
        names.append(name)
        return text_of(name)

    monkeypatch.setattr(queries, "sql", counted)
    enter(database, flow, ORDER, ORDER)
    return [name for name in names if "variables" in name]


def test_only_graphs_that_read_variables_have_statements_for_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = graph(
        trigger("m"),
        node("m", "email", EmailConfig(subject="{{ entry.order_id }}", body="x"), default="t"),
        add_tag("t", "yes", default="end"),
        end(),
    )
    assert statements(database, plain, monkeypatch) == []


def test_reading_and_writing_variables_take_a_statement_per_batch(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = graph(trigger("a"), sets("a", "b", x=1), sets("b", "end", y="{{ vars.x }}"), end())
    assert statements(database, flow, monkeypatch) == ["run_variables", "write_run_variables"]


def test_a_run_that_cannot_be_written_keeps_its_variables_as_they_were(database: Database) -> None:
    flow = graph(
        trigger("a"),
        sets("a", "b", x="{{ entry.x }}"),
        updates("b", "company", "{{ entry.x }}", "end"),
        end(),
    )
    with database.transaction() as connection:
        connection.execute("ALTER TABLE contacts ADD CONSTRAINT short CHECK (length(company) < 20)")
    enter(database, flow, {"x": "long " * 10}, {"x": "short"})
    assert stored(database) == [{}, {"vars": {"x": "short"}}]


@pytest.mark.parametrize(("zone", "expected"), [("America/New_York", []), ("Asia/Tokyo", ["yes"])])
def test_a_day_is_that_of_the_contact(database: Database, zone: str, expected: list[str]) -> None:
    # At 23:00 UTC it is the next day in Tokyo, and not in New York.
    tomorrow = NOW.date() + timedelta(days=1)
    flow = asks(field("entry.due", "<=", "today"))
    late = NOW.replace(hour=23)
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow)
        (contact_id,) = contacts(connection, campaign.workspace_id, 1)
        connection.execute(
            "UPDATE contacts SET custom_fields = %s::jsonb", [f'{{"timezone": "{zone}"}}']
        )
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, started_at,"
            " personalization_data) VALUES (%s, %s, %s, %s::jsonb)",
            [campaign.campaign_id, contact_id, late, f'{{"due": "{tomorrow}"}}'],
        )
    run_until_idle(database, late)
    assert [tags or [] for (tags,) in rows(database, "SELECT tags FROM contacts")] == [expected]


@pytest.mark.parametrize("is_early", [False, True])
def test_the_event_that_ends_a_wait_is_read_in_conditions_and_messages(
    database: Database, is_early: bool
) -> None:
    branch = {"id": "yes", "condition": field("event.amount", ">", 50)}
    branches = (Branch.model_validate(branch), Branch.model_validate({"id": "else"}))
    flow = graph(
        trigger("p") if is_early else trigger("w"),
        wait_hours("p", 1, default="w"),
        wait_for("w", "purchase", event="c", timeout="end"),
        node("c", "condition", ConditionConfig(branches=branches), yes="t", else_="m"),
        add_tag("t", "large", default="m"),
        node("m", "email", EmailConfig(subject="{{ event.amount }}", body="x"), default="w2"),
        wait_for("w2", "purchase", event="m2", timeout="end"),
        node("m2", "email", EmailConfig(subject="{{ event.amount }}!", body="x"), default="end"),
        end(),
    )
    people_inside(database, flow, 2)
    for minute, amounts in ((20, {1: 99.5, 2: 7}), (200, {1: 3})):
        at = NOW + timedelta(minutes=minute)
        lines = [
            an_event(
                f"{minute}-{person}",
                "purchase",
                email=f"person{person}@example.com",
                occurred_at=at.isoformat(),
                data={"amount": amount},
            )
            for person, amount in amounts.items()
        ]
        assert dict(ingest(database, lines, now=at).rejected) == {}
        run_until_idle(database, at + timedelta(hours=1))
    tags = rows(database, "SELECT coalesce(tags, '{}') FROM contacts ORDER BY email")
    assert tags == [(["large"],), ([],)]
    sent = rows(database, "SELECT recipient, subject FROM recorded_messages ORDER BY 1, 2")
    assert sent == [
        ("person1@example.com", "3!"),
        ("person1@example.com", "99.5"),
        ("person2@example.com", "7"),
    ]
    assert stored(database)[0]["event"]["amount"] == 3


def test_a_wait_of_a_graph_that_reads_no_event_stores_none(database: Database) -> None:
    flow = graph(
        trigger("w"),
        wait_for("w", "purchase", event="t", timeout="end"),
        add_tag("t", "yes", default="end"),
        end(),
    )
    people_inside(database, flow, 1)
    line = an_event(1, "purchase", email="person1@example.com", data={"amount": 7})
    assert ingest(database, [line]).resumed == 1
    run_until_idle(database, NOW + timedelta(hours=2))
    assert stored(database) == [{}]
