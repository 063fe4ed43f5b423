"""Fifty contacts with hostile data among many: exactly these stop, each is named with its reason,
and all others finish. POISON_CONTACTS sets the number of contacts (by hand: 20,000).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import ConditionConfig, EmailConfig
from tests.cli.conftest import Drip, answered, drip
from tests.engine.events.incoming import rows
from tests.engine.factories import (
    NOW,
    Published,
    a_published_campaign,
    a_workspace,
    contacts,
    enrolled,
)
from tests.engine.graphs import add_tag, end, graph, has_happened, has_tag, node, trigger

__all__ = ["drip"]

CONTACTS: Final = int(os.environ.get("POISON_CONTACTS", "400"))
POISONED: Final = 50
DEEP: Final = '{"plan": ' + '{"a":' * 2_000 + "1" + "}" * 2_001
BODY: Final = "Dear {{ company | url_decode }}, {{ 'total' | slice: start }} of {{ plan }}."


def _set(column: str, value: str) -> Callable[[Connection, Published, UUID], None]:
    def poison(connection: Connection, _campaign: Published, contact_id: UUID) -> None:
        statement = f"UPDATE contacts SET {column} = %s WHERE id = %s"
        connection.execute(statement, [value, contact_id])

    return poison


def _event(connection: Connection, campaign: Published, contact_id: UUID) -> None:
    connection.execute(
        "INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at) "
        "VALUES (%s, %s, 'purchase', 'infinity')",
        [campaign.workspace_id, contact_id],
    )


# Each kind, and a part of the reason by which it is reported.
POISON: Final = {
    "time beyond the year 9999": (_set("last_interaction", "10000-01-01"), "last_interaction"),
    "time of infinity": (_set("last_interaction", "infinity"), "last_interaction"),
    "time before the year 1": (_set("last_interaction", "0044-03-15 BC"), "last_interaction"),
    "number beyond 1e308": (_set("custom_fields", '{"plan": 1e400}'), "custom_fields"),
    "JSON nested 2,000 deep": (_set("custom_fields", DEEP), "custom_fields"),
    "array of arrays": (_set("tags", "{{a,b},{c,d}}"), "tags"),
    "event at infinity": (_event, "the time of its latest purchase"),
    "text that cannot be stored": (_set("company", "A%00"), "a value was rejected"),
    "text that a filter refuses": (_set("custom_fields", '{"start": {"a": 1}}'), "line 1"),
    "row that an application refuses": (_set("name", "refused"), "could not be written"),
}


def asks(node_id: str, field: str, **ports: str) -> Any:
    """A condition on a field, with the branches `yes` and `else`."""
    condition = {"type": "field", "field": field, "operator": "==", "value": "x"}
    branches: Any = [{"id": "yes", "condition": condition}, {"id": "else"}]
    return node(node_id, "condition", ConditionConfig(branches=branches), **ports)


def campaign_graph() -> CampaignGraph:
    """Conditions on everything, a change of the contact, and a message."""
    mail = EmailConfig(subject="Hello", body=BODY)
    return graph(
        trigger("seen"),
        asks("seen", "last_interaction", yes="plan", else_="plan"),
        asks("plan", "plan", yes="tag", else_="tag"),
        has_tag("tag", "vip", yes="bought", else_="bought"),
        has_happened("bought", "purchase", yes="welcome", else_="welcome"),
        add_tag("welcome", "welcomed", default="mail"),
        node("mail", "email", mail, default="end"),
        end(),
    )


def poisoned(database: Database) -> Iterator[tuple[UUID, str]]:
    """Create the campaign and its contacts; yield the poisoned ones and part of their reasons."""
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        ids = contacts(connection, workspace, CONTACTS)
        connection.execute("""UPDATE contacts SET custom_fields = '{"plan": "gold", "start": 1}'""")
        campaign = a_published_campaign(connection, campaign_graph(), workspace_id=workspace)
        enrolled(connection, campaign, ids)
        kinds = list(POISON.values())
        for number, contact_id in enumerate(ids[:: CONTACTS // POISONED][:POISONED]):
            poison, reason = kinds[number % len(kinds)]
            poison(connection, campaign, contact_id)
            yield contact_id, reason
        # An application's own rule, which no error class of data or constraints covers.
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not this one'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE OF tags ON contacts FOR EACH ROW "
            "WHEN (old.name = 'refused') EXECUTE FUNCTION refuse()"
        )


def test_exactly_the_poisoned_contacts_stop_and_are_named(drip: Drip, database: Database):
    expected = dict(poisoned(database))
    assert len(expected) == POISONED
    for hours in range(12):  # what is refused when it is written is retried first
        now = (NOW + timedelta(hours=hours)).isoformat()
        answered(drip("run", "--until-idle", "--now", now, "--json"))
    statuses = rows(
        database, "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1"
    )
    assert dict(statuses) == {"completed": CONTACTS - POISONED, "failed": POISONED}
    failed = rows(
        database, "SELECT contact_id FROM campaign_workflow_states WHERE workflow_status = 'failed'"
    )
    assert {contact_id for (contact_id,) in failed} == set(expected)
    answered(drip("alerts", "check", "--now", now, "--json"))
    (incident,) = answered(drip("alerts", "list", "--json"))
    named = {each["contact_id"]: each["reason"] for each in incident["details"]["contacts"]}
    assert set(named) == {str(contact_id) for contact_id in expected}
    for contact_id, reason in expected.items():
        assert reason in named[str(contact_id)]
    text = "".join(drip("alerts", "list").stdout.split())
    assert all(str(contact_id)[:8] in text for contact_id in expected)
