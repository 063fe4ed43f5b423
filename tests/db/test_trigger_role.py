"""The role of a receiver with trigger webhooks: it enrolls contacts and cannot read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import orjson
import psycopg
import pytest

from drip_pipeline.domain.graph.exits import ExitRule
from drip_pipeline.domain.graph.holdout import Holdout, threshold
from drip_pipeline.domain.graph.nodes import EmailConfig, TriggerConfig
from drip_pipeline.domain.graph.volume import VolumeGuards
from drip_pipeline.domain.templates.signed_tokens import Purpose, SignedLink, sign
from drip_pipeline.engine.campaigns.holdout import set_holdout
from drip_pipeline.engine.campaigns.topics import add_topic
from drip_pipeline.engine.operations.operator_consents import suppress
from tests.db.guarded_roles import BODY, SETTINGS, TOKEN, as_role, guarded, message, refused, rows
from tests.engine.events.incoming import LATER
from tests.engine.factories import NOW, a_published_campaign, a_workspace, run_until_idle
from tests.engine.graphs import end, graph, node
from tests.receiver.running import KEY, a_receiver

__all__ = ["guarded", "message"]


def test_the_trigger_role_also_enrolls(guarded, message):
    with (
        as_role(guarded, "drip_trigger") as trigger,
        a_receiver(trigger, **SETTINGS) as receiver,
    ):
        call = {**TOKEN, "Idempotency-Key": "1"}
        assert receiver.post("/trigger/Doors", BODY, call).json()["enrolled"] == 1
        assert receiver.post("/trigger/Doors", BODY, call).json()["is_repeat"]
        left = sign(KEY, Purpose.UNSUBSCRIBE, SignedLink(message))
        assert receiver.post(f"/u/{left}").status == 200
        metrics = receiver.get("/metrics", Authorization="Bearer metrics")
        assert 'drip_requests{endpoint="trigger",outcome="accepted"} 2.0' in metrics.text


def shop_id(number: int) -> UUID:
    return uuid5(NAMESPACE_URL, f"shop {number}")


def test_the_trigger_role_merges_and_keeps_to_topics_limits_and_the_holdout(guarded):
    door = TriggerConfig.model_validate({"trigger": "webhook", "re_entry": {"per_key": "order"}})
    mail = EmailConfig(subject="Order {{ entry.order }} of {{ company }}", body="x")
    nodes = [node("start", "trigger", door, default="m"), node("m", "email", mail, default="end")]
    flow = replace(
        graph(*nodes, end()), topic="orders", guards=VolumeGuards(per_day=3, max_people=20)
    )
    numbers = range(1, 31)
    with guarded.transaction() as connection:
        workspace = a_workspace(connection, "Shop")
        for number in numbers:
            connection.execute(
                "INSERT INTO contacts (id, workspace_id, email) VALUES (%s, %s, %s)",
                [shop_id(number), workspace, f"shop{number}@example.com"],
            )
        a_published_campaign(connection, flow, workspace_id=workspace, name="Orders")
    add_topic(guarded, "Shop", "orders", now=NOW)
    set_holdout(guarded, "Shop", 50, now=NOW)
    holdout = Holdout("holdout", threshold(50))
    held = next(number for number in numbers if holdout.has(shop_id(number)))
    first, left, *free = (number for number in numbers if not holdout.has(shop_id(number)))
    suppress(
        guarded, f"shop{left}@example.com", workspace="Shop", topic="orders", reason="no", now=NOW
    )

    def person(number: int, order: int) -> dict[str, Any]:
        fields = {"company": f"Company {order}", "tags": ["buyer"], "plan": "pro"}
        return {"email": f"SHOP{number}@example.com", "fields": fields, "data": {"order": order}}

    with (
        as_role(guarded, "drip_trigger") as trigger,
        a_receiver(trigger, **SETTINGS) as receiver,
    ):

        def called(*people: dict[str, Any]) -> dict[str, Any]:
            body = orjson.dumps({"people": people})
            return dict(receiver.post("/trigger/Orders", body, TOKEN).json())

        assert called(person(first, 1))["enrolled"] == 1
        assert called(person(first, 1))["already_in"] == 1
        assert called(person(left, 2), person(held, 3))["refused"] == {
            "left_topic": 1,
            "holdout": 1,
        }
        gone = person(free[-1], 4)
        gone["fields"]["unsubscribed"] = True
        assert called(gone)["refused"] == {"suppressed": 1}
        full = called(*(person(number, 10 + number) for number in free[:5]))
        assert (full["enrolled"], full["refused"]) == (2, {"over_per_day": 3})
    changed = f"SELECT company, tags, custom_fields FROM contacts WHERE id = '{shop_id(first)}'"
    assert rows(guarded, changed) == [("Company 1", ["buyer"], {"plan": "pro"})]
    run_until_idle(guarded, now=LATER)
    subjects = rows(guarded, "SELECT subject FROM recorded_messages WHERE subject LIKE 'Order %'")
    expected = {1: 1} | {number: 10 + number for number in free[:2]}
    assert {each for (each,) in subjects} == {
        f"Order {order} of Company {order}" for order in expected.values()
    }


def test_a_contact_whom_an_exit_rule_excludes_leaves_at_the_first_step_of_its_run(guarded):
    rule = ExitRule.model_validate({"id": "vip", "when": {"type": "tag", "value": "vip"}})
    start = TriggerConfig.model_validate({"trigger": "webhook"})
    mail = EmailConfig(subject="Ruled", body="x")
    nodes = [node("start", "trigger", start, default="m"), node("m", "email", mail, default="end")]
    with guarded.transaction() as connection:
        workspace = a_workspace(connection, "Ruled")
        flow = replace(graph(*nodes, end()), exits=(rule,))
        a_published_campaign(connection, flow, workspace_id=workspace, name="Ruled")
    people: list[dict[str, Any]] = [
        {"email": "a@ruled.example", "tags": ["vip"]},
        {"email": "b@ruled.example"},
    ]
    with (
        as_role(guarded, "drip_trigger") as trigger,
        a_receiver(trigger, **SETTINGS) as receiver,
    ):
        body = orjson.dumps({"people": [{"email": p["email"], "fields": p} for p in people]})
        assert receiver.post("/trigger/Ruled", body, TOKEN).json()["enrolled"] == 2
    run_until_idle(guarded, now=LATER)
    sent = "SELECT recipient FROM recorded_messages WHERE subject = 'Ruled'"
    assert rows(guarded, sent) == [("b@ruled.example",)]


TRIGGER_READS = {
    "campaign_batches", "campaign_deliveries", "campaign_guards", "campaign_incidents",
    "campaign_versions", "campaign_workflow_states", "channel_flow", "demo_workspaces",
    "drip_campaigns", "event_inbox", "receiver_counts", "stale_metric_days", "workspace_rules",
    "workspaces",
}  # fmt: skip


@pytest.mark.parametrize("role", ["drip_ingest", "drip_trigger"])
def test_the_receivers_roles_read_no_column_with_data_of_people(guarded, role):
    readable = rows(
        guarded,
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')"
        " AND a.attnum > 0 AND NOT a.attisdropped"
        f" AND has_column_privilege('{role}', c.oid, a.attnum, 'SELECT')",
    )
    assert {table for table, _ in readable} <= TRIGGER_READS
    assert not {column for _, column in readable} & {
        "contact_id", "email", "address", "phone", "recipient", "payload", "context", "sentence",
        "custom_fields", "tags", "call_key", "body_hash", "contact_email", "personalization_data",
        "variables", "definition", "campaign_snapshot", "steps_snapshot", "details",
    }  # fmt: skip


@pytest.mark.parametrize(
    "call",
    [
        "trigger_merge_contacts('{id}', '[]', false, now())",
        "trigger_contacts('{id}', ARRAY['a@example.com'])",
        "trigger_enroll_contacts('{id}', NULL, NULL, NULL, 'once', NULL, true, true, 1, 1, now())",
    ],
)
def test_calls_enter_only_campaigns_with_a_webhook_trigger(guarded, call):
    with guarded.transaction() as connection:
        made = a_published_campaign(
            connection, graph(node("start", "trigger", TriggerConfig(), default="end"), end()),
            workspace_id=a_workspace(connection, "Closed"), name="Closed",
        )  # fmt: skip
    for campaign in (made.campaign_id, uuid4()):
        text = refused(guarded, "drip_trigger", "SELECT " + call.format(id=campaign))
        assert "has no webhook trigger" in text
    assert "permission denied" in refused(
        guarded, "drip_ingest", "SELECT " + call.format(id=uuid4())
    )


def test_a_table_of_the_caller_gets_no_rows(guarded, message):
    """The functions do not write to a temporary table that the trigger role has created."""
    ((campaign,),) = rows(guarded, "SELECT id FROM drip_campaigns WHERE name = 'Doors'")
    with psycopg.connect(guarded.url) as connection:
        connection.execute("GRANT TEMPORARY ON DATABASE " + connection.info.dbname + " TO PUBLIC")
        connection.execute("SET ROLE drip_trigger")
        connection.execute("CREATE TEMPORARY TABLE imported_contacts (x integer)")
        with pytest.raises(psycopg.errors.DuplicateTable):
            connection.execute(
                "SELECT trigger_merge_contacts(%s, '[{\"line_number\": 1}]', false, now())",
                [campaign],
            )
