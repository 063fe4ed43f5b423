"""A contact with a value that Python cannot hold stops alone, named with its column."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.execution.workflow_states import due_overview
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import ConditionConfig, EmailConfig
from drip_pipeline.engine.enrollment.audience import Matching
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.operations import incidents
from tests.engine.events.incoming import rows, value
from tests.engine.factories import (
    NOW,
    Published,
    a_published_campaign,
    a_workspace,
    contacts,
    enrolled,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, has_happened, has_tag, node, trigger

DEEP = '{"a":' * 2_000 + "1" + "}" * 2_000
POISON = {
    "far": ("last_interaction", "'10000-01-01'"),
    "infinity": ("last_interaction", "'infinity'"),
    "minus infinity": ("last_interaction", "'-infinity'"),
    "BC": ("last_interaction", "'4000-01-01 BC'"),
    "number": ("custom_fields", """'{"plan": 1e400}'"""),
    "nested": ("custom_fields", f"'{DEEP}'"),
    "tags": ("tags", "'{{a,b},{c,d}}'"),
}


def asks(condition: Any) -> Any:
    branches: Any = [{"id": "yes", "condition": condition}, {"id": "else"}]
    return node("ask", "condition", ConditionConfig(branches=branches), yes="end", else_="end")


FIELD: Any = {"type": "field", "field": "plan", "operator": "==", "value": "gold"}
SEEN: Any = {"type": "field", "field": "last_interaction", "operator": "==", "value": "today"}
ADVANCING = {
    "last_interaction": graph(trigger("ask"), asks(SEEN), end()),
    "custom_fields": graph(trigger("ask"), asks(FIELD), end()),
    "tags": graph(trigger("ask"), has_tag("ask", "vip", yes="end", else_="end"), end()),
}


def mails(body: str) -> CampaignGraph:
    config = EmailConfig(subject="Hello", body=body)
    return graph(trigger("mail"), node("mail", "email", config, default="end"), end())


def people(database: Database, flow: CampaignGraph, *poison: str) -> tuple[Published, list[UUID]]:
    """Six people in a campaign; the third has this poison."""
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        ids = contacts(connection, workspace, 6)
        campaign = a_published_campaign(connection, flow, workspace_id=workspace)
        enrolled(connection, campaign, ids)
        for column, literal in map(POISON.__getitem__, poison):
            statement = f"UPDATE contacts SET {column} = {literal} WHERE id = %s"
            connection.execute(statement, [ids[2]])
    return campaign, ids


def by_status(database: Database) -> dict[str, int]:
    statement = "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1"
    return dict(rows(database, statement))


def reported(database: Database) -> dict[str, str]:
    """The contacts that incidents name, with their reasons."""
    current = incidents.current(database, now=NOW, backlog_minutes=10_000)
    return {
        each["contact_id"]: each["reason"]
        for incident in current
        for each in incident.details["contacts"]  # type: ignore[attr-defined]
    }


@pytest.mark.parametrize("kind", POISON)
def test_advancing_stops_the_contact_alone(database: Database, kind: str):
    column, _ = POISON[kind]
    _, ids = people(database, ADVANCING[column], kind)
    run_until_idle(database)
    assert by_status(database) == {"completed": 5, "failed": 1}
    (contact_id, reason), = reported(database).items()  # fmt: skip
    assert contact_id == str(ids[2])
    assert reason.startswith(f"contact {ids[2]}: column {column} cannot be read: ")


@pytest.mark.parametrize("kind", [kind for kind in POISON if kind != "tags"])
def test_delivering_stops_the_contact_alone(database: Database, kind: str):
    column, _ = POISON[kind]
    name = "plan" if column == "custom_fields" else column
    _, ids = people(database, mails(f"Since {{{{ {name} }}}}"), kind)
    report = run_until_idle(database)
    assert report.delivered["email"].sent == 5
    assert by_status(database) == {"completed": 5, "failed": 1}
    assert f"column {column} cannot be read" in reported(database)[str(ids[2])]
    assert value(
        database, "SELECT error_code FROM campaign_deliveries WHERE status = 'failed'"
    ) == ("contact_unreadable")


@pytest.mark.parametrize("kind", POISON)
def test_a_value_that_nothing_reads_stops_nobody(database: Database, kind: str):
    people(database, mails("Dear {{ name }}"), kind)
    run_until_idle(database)
    assert by_status(database) == {"completed": 6}
    assert reported(database) == {}


def test_a_value_is_read_again_after_it_was_corrected(database: Database):
    from drip_pipeline.engine.operations.requeue import requeue

    campaign, ids = people(database, ADVANCING["last_interaction"], "infinity")
    run_until_idle(database)
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET last_interaction = NULL WHERE id = %s", [ids[2]])
    requeue(database, campaign=campaign.campaign_id, now=NOW)
    run_until_idle(database)
    assert by_status(database) == {"completed": 6}
    assert reported(database) == {}


@pytest.mark.parametrize("kind", ["infinity", "number", "nested"])
def test_selecting_leaves_out_the_contact_alone(database: Database, kind: str):
    column, _ = POISON[kind]
    campaign, ids = people(database, mails("Dear {{ name }}"), kind)
    field = "plan" if column == "custom_fields" else column
    reads = {"type": "field", "field": field, "operator": "==", "value": "x"}
    all_of_them = {"type": "score", "operator": ">=", "value": 0}
    condition = Condition.model_validate(
        {"type": "composite", "logic": "OR", "sub_conditions": [all_of_them, reads]}
    )
    with database.transaction() as connection:
        connection.execute("DELETE FROM campaign_enrollments")
    report = enroll(database, campaign.campaign_id, Matching(condition), now=NOW)
    assert (report.enrolled, report.refused) == (5, {"unreadable": 1})
    assert list(reported(database)) == [str(ids[2])]


def test_a_time_of_an_event_beyond_the_year_9999_stops_the_contact_alone(database: Database):
    flow = graph(trigger("ask"), has_happened("ask", "purchase", yes="end", else_="end"), end())
    campaign, ids = people(database, flow)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at) "
            "VALUES (%s, %s, 'purchase', 'infinity')",
            [campaign.workspace_id, ids[2]],
        )
    run_until_idle(database)
    assert by_status(database) == {"completed": 5, "failed": 1}
    assert "the time of its latest purchase" in reported(database)[str(ids[2])]


def test_a_message_that_cannot_be_stored_fails_alone(database: Database):
    # PostgreSQL cannot store the NUL character that the filter makes of %00.
    _, ids = people(database, mails("Dear {{ company | url_decode }}"))
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET company = 'A%%00' WHERE id = %s", [ids[2]])
    report = run_until_idle(database)
    assert report.delivered["email"].sent == 5
    assert by_status(database) == {"completed": 5, "failed": 1}
    assert list(reported(database)) == [str(ids[2])]


def test_an_email_campaign_still_reads_good_contacts_with_the_fast_loader(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    from drip_pipeline.db import queries

    def unexpected(*_: Any) -> Any:
        raise AssertionError("the slow loader was used")

    monkeypatch.setattr(queries, "read_result", unexpected)
    people(database, graph(trigger("mail"), email("mail", default="end"), end()))
    run_until_idle(database)
    assert by_status(database) == {"completed": 6}


@pytest.mark.parametrize("due_at", ["-infinity", "4000-01-01 BC"])
def test_a_due_time_before_the_year_1_is_due(database: Database, due_at: str):
    _, ids = people(database, mails("Dear {{ name }}"))
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET next_execution_at = %s WHERE contact_id = %s",
            [due_at, ids[2]],
        )
    kinds = [i.kind for i in incidents.current(database, now=NOW, backlog_minutes=10_000)]
    assert kinds == ["backlog_stuck"]
    run_until_idle(database)
    assert by_status(database) == {"completed": 6}


def test_a_message_due_at_minus_infinity_is_delivered(database: Database):
    _, ids = people(database, mails("Dear {{ name }}"))
    advance_batch(database, now=NOW, batch_size=100)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_deliveries SET due_at = '-infinity' WHERE contact_id = %s", [ids[2]]
        )
    run_until_idle(database)
    assert by_status(database) == {"completed": 6}


def test_a_due_time_of_infinity_halts_its_contact_alone(database: Database):
    people(database, mails("Dear {{ name }}"))
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET next_execution_at = 'infinity' "
            "WHERE id = (SELECT min(id::text)::uuid FROM campaign_workflow_states)"
        )
    for _ in range(2):  # the second finds only the halted one
        run_until_idle(database)
        assert by_status(database) == {"completed": 5, "running": 1}
    with database.transaction(is_read_only=True) as connection:
        overview = due_overview(connection, now=NOW, count_limit=10)
    assert overview.next_state_at == datetime(9999, 1, 1, tzinfo=UTC)
