"""Exit rules end a run on entry, at each step, before its message is sent, and when an event
arrives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from drip_pipeline.channels.recorder import RecorderChannel
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import EnrollReport, EntryOptions, enroll
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.operations.requeue import requeue
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy, PublishOptions
from drip_pipeline.engine.publishing.stored_definition import stored_definition
from drip_pipeline.engine.runner.tick import Engine, deliver_channel
from drip_pipeline.settings import Settings
from tests.engine.events.incoming import ingest, minutes, rows, value
from tests.engine.factories import (
    MESSAGES,
    NOW,
    a_workspace,
    an_event,
    contacts,
    run_until_idle,
)

DAY = timedelta(days=1)


def a_mail(node_id: str, subject: str) -> dict[str, Any]:
    content = {"subject": subject, "body": "x {{ unsubscribe_url }}"}
    return {"node_type": "email", "node_id": node_id, "channel_config": {"email": content}}


def pause(days: float) -> dict[str, Any]:
    config = {"type": "duration", "value": days, "unit": "days"}
    return {"node_type": "wait", "node_id": "pause", "wait_config": config}


BOUGHT: Mapping[str, Any] = {
    "id": "bought", "when": {"event_type": "purchase"}, "reason": "has bought",
}  # fmt: skip
VIP: Mapping[str, Any] = {"id": "vip", "when": {"type": "tag", "value": "vip"}}
FLOW = [a_mail("first", "Buy"), pause(30), a_mail("second", "Still not bought?")]


def published(
    database: Database, *exits: Mapping[str, Any], steps: Any = FLOW, **keys: Any
) -> None:
    file = {"name": "Left", "exits": list(exits), "steps": steps} | keys
    publish(database, file, PublishOptions(now=NOW, settings=Settings()))


def people(database: Database, count: int) -> None:
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), count)


def enrolled(database: Database, **options: Any) -> EnrollReport:
    return enroll(database, "Left", Everybody(), now=NOW, options=EntryOptions(**options))


def inside(database: Database, count: int, *exits: Mapping[str, Any], **keys: Any) -> None:
    """Contacts in a campaign of two mails, thirty days apart, that got the first one."""
    people(database, count)
    published(database, *exits, **keys)
    assert enrolled(database).enrolled == count
    run_until_idle(database)


def event(number: int, person: int, after_minutes: float = 60, **keys: Any) -> dict[str, Any]:
    owner = {"email": f"person{person}@example.com"}
    fields = owner | {"occurred_at": minutes(after_minutes)} | keys
    return an_event(number, fields.pop("event_type", "purchase"), **fields)


def changed(database: Database, person: int, column: str, content: Any) -> None:
    with database.transaction() as connection:
        connection.execute(
            f"UPDATE contacts SET {column} = %s WHERE email = %s",
            [content, f"person{person}@example.com"],
        )


def runs(database: Database) -> list[tuple[Any, ...]]:
    """Number of the contact, status, exit reason, reason and rule of the event, and messages."""
    return rows(
        database,
        "SELECT substr(e.contact_email, 7, 1), s.workflow_status, s.exit_reason,"
        " v.event_data ->> 'reason', v.event_data ->> 'exit',"
        " (SELECT count(*) FROM campaign_message_outcomes o WHERE o.enrollment_id = e.id)"
        " FROM campaign_workflow_states s JOIN campaign_enrollments e ON e.id = s.id"
        " LEFT JOIN campaign_events v ON v.enrollment_id = e.id"
        " AND v.event_type = 'enrollment_exited' ORDER BY 1, e.started_at",
    )


def left(person: int, messages: int, rule: str = "bought", reason: str = "has bought") -> Any:
    return (str(person), "exited", reason, reason, rule, messages)


def stayed(person: int, messages: int, status: str = "waiting") -> tuple[Any, ...]:
    return (str(person), status, None, None, None, messages)


def skipped(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT d.status, d.error_code, v.event_data ->> 'reason' FROM campaign_deliveries d"
        " JOIN campaign_events v ON v.message_id = d.id AND v.event_type = 'message_skipped'",
    )


def holds(database: Database, now: datetime) -> None:
    assert [r.name for r in check_invariants(database, now=now) if not r.holds] == []


def test_an_event_ends_the_run_of_a_contact_in_a_long_wait_once(database: Database) -> None:
    inside(database, 2, BOUGHT)
    events = [event(1, 1), event(2, 1, 61)]
    assert ingest(database, events).ended == 1
    assert ingest(database, [*events, event(3, 1, 90)]).ended == 0
    assert runs(database) == [left(1, 1), stayed(2, 1)]
    assert (
        value(database, "SELECT count(*) FROM campaign_enrollments WHERE status = 'completed'") == 1
    )
    run_until_idle(database, NOW + 31 * DAY)
    assert runs(database) == [left(1, 1), stayed(2, 2, "completed")]
    holds(database, NOW + 31 * DAY)


@pytest.mark.parametrize("is_held", [False, True])
def test_an_event_withdraws_a_message_from_the_outbox(database: Database, is_held: bool) -> None:
    inside(database, 1, BOUGHT)
    advance_batch(database, now=NOW + 31 * DAY, batch_size=10)
    if is_held:
        rows(
            database,
            "UPDATE campaign_deliveries SET held_by = 'window', due_at = due_at + interval '1 day',"
            " held_until = due_at + interval '1 day' WHERE status = 'pending' RETURNING id",
        )
    assert ingest(database, [event(1, 1, 31 * 24 * 60)], now=NOW + 31 * DAY).ended == 1
    assert skipped(database) == [("skipped", "has bought", "has bought")]
    run_until_idle(database, NOW + 40 * DAY)
    assert runs(database) == [left(1, 1)]
    holds(database, NOW + 40 * DAY)


def test_an_event_before_the_first_mail_ends_the_run(database: Database) -> None:
    people(database, 1)
    published(database, BOUGHT)
    enrolled(database)
    assert ingest(database, [event(1, 1, 0)], now=NOW).ended == 1
    run_until_idle(database)
    assert runs(database) == [left(1, 0)]


OVER_9 = {"where": {"type": "field", "field": "value", "operator": ">", "value": 9}}
HALF_AN_HOUR = {"within": {"value": 30, "unit": "minutes"}}
MATCHING: list[tuple[dict[str, Any], list[dict[str, Any]], bool]] = [
    ({}, [{"after_minutes": -5}], False),
    ({}, [{"after_minutes": 0}], True),
    ({}, [{"data": {"machine": True}}], False),
    ({"machines": True}, [{"data": {"machine": True}}], True),
    (OVER_9, [{"data": {"value": 9}}], False),
    (OVER_9, [{"data": {"value": 10}}], True),
    ({"count": {"value": 2}}, [{}], False),
    ({"count": {"value": 2}}, [{}, {"after_minutes": 70}], True),
    (HALF_AN_HOUR, [{"after_minutes": 20}], False),
    (HALF_AN_HOUR, [{"after_minutes": 40}], True),
    ({"event_type": "email_replied"}, [{"campaign": "Left"}], True),
    ({"event_type": "email_clicked", "url": "https://example.com/a"},
     [{"campaign": "Left", "data": {"url": "https://example.com/b"}}], False),
    ({}, [{"campaign": "Other"}], False),
    ({"of": "any"}, [{"campaign": "Other"}], True),
]  # fmt: skip
"""What a rule asks for, the events of one contact, and whether they end the run."""


def test_only_events_that_match_end_the_run(database: Database) -> None:
    rules: list[Mapping[str, Any]] = []
    arriving: list[dict[str, Any]] = []
    expected: list[str] = []
    for person, (when, events, ends) in enumerate(MATCHING, 1):
        named = {"event_type": f"event_{person}"} | when
        rules.append({"id": f"rule{person}", "when": named})
        for keys in events:
            line = {"event_type": named["event_type"]} | keys
            arriving.append(event(len(arriving), person, **line))
        expected += [f"rule{person}"] if ends else []
    inside(database, len(MATCHING), *rules)
    file = {"name": "Other", "steps": FLOW}
    publish(database, file, PublishOptions(now=NOW, settings=Settings()))
    enroll(database, "Other", Everybody(), now=NOW)
    assert ingest(database, arriving).accepted == len(arriving)
    reasons = "SELECT exit_reason FROM campaign_workflow_states WHERE exit_reason IS NOT NULL"
    assert sorted(reason for (reason,) in rows(database, reasons)) == sorted(expected)


def test_an_event_condition_ends_the_run_when_the_event_arrives(database: Database) -> None:
    both = {"type": "composite", "logic": "AND", "sub_conditions": [
        {"type": "event", "event_type": "purchase"}, {"type": "tag", "value": "vip"}]}  # fmt: skip
    inside(database, 2, {"id": "both", "when": both})
    changed(database, 1, "tags", ["vip"])
    assert ingest(database, [event(1, 1), event(2, 2)]).ended == 1
    assert runs(database) == [left(1, 1, "both", "both"), stayed(2, 1)]


def test_a_failed_and_a_paused_run_end_by_an_event(database: Database) -> None:
    inside(database, 2, BOUGHT)
    rows(
        database,
        "UPDATE campaign_enrollments SET status = 'paused'"
        " WHERE contact_email = 'person1@example.com' RETURNING id",
    )
    rows(
        database,
        "UPDATE campaign_workflow_states s SET workflow_status = 'failed', completed_at = now(),"
        " next_execution_at = NULL FROM campaign_enrollments e WHERE e.id = s.id"
        " AND e.contact_email = 'person2@example.com' RETURNING s.id",
    )
    run_until_idle(database, NOW + 31 * DAY)
    assert ingest(database, [event(1, 1), event(2, 2)], now=NOW + 31 * DAY).ended == 2
    assert requeue(database, now=NOW + 31 * DAY, campaign="Left").states == 0
    assert runs(database) == [left(1, 1), left(2, 1)]


def test_a_contact_whom_a_rule_excludes_does_not_enter(database: Database) -> None:
    people(database, 3)
    published(database, BOUGHT, {**VIP, "reason": "is a VIP"})
    changed(database, 2, "tags", ["vip"])
    report = enrolled(database, is_dry_run=True)
    assert (report.enrolled, report.refused) == (2, {"is a VIP": 1})
    report = enrolled(database)
    assert (report.enrolled, report.refused) == (2, {"is a VIP": 1})


LOOKING_BACK: list[tuple[dict[str, Any], bool]] = [
    ({"event_type": "e1"}, False),
    ({"event_type": "e2", "within": {"value": 30, "unit": "days"}}, True),
    ({"event_type": "e3", "within": {"value": 9, "unit": "days"}}, False),
    ({"event_type": "e4", "of": "any"}, True),
    ({"type": "event", "event_type": "e5"}, False),
    ({"type": "event", "event_type": "e6", "time_window": 240.5}, True),
]


def test_a_rule_looks_back_on_entry_where_it_asks_for_it(database: Database) -> None:
    people(database, len(LOOKING_BACK))
    rules = [{"id": f"r{n}", "when": when} for n, (when, _) in enumerate(LOOKING_BACK, 1)]
    published(database, *rules)
    before = -10 * 24 * 60
    ingest(database, [event(n, n, before, event_type=f"e{n}") for n in range(1, 7)])
    refused = {f"r{n}": 1 for n, (_, refuses) in enumerate(LOOKING_BACK, 1) if refuses}
    assert enrolled(database).refused == refused
    # A run that an application began is ended by its first step.
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email,"
            " workspace_id, started_at) SELECT c.id, k.id, k.email, k.workspace_id, %s"
            " FROM drip_campaigns c, contacts k ON CONFLICT DO NOTHING",
            [NOW],
        )
    run_until_idle(database)
    assert [row[2] for row in runs(database)] == [
        f"r{n}" if refuses else None for n, (_, refuses) in enumerate(LOOKING_BACK, 1)
    ]


def test_a_run_ends_at_its_next_step_after_the_contact_changed(database: Database) -> None:
    rule = {
        "id": "customer",
        "when": {"type": "field", "field": "status", "operator": "==", "value": "customer"},
    }
    inside(database, 2, rule)
    changed(database, 1, "status", "customer")
    # A batch that is advanced before the tick looks at changed contacts.
    assert advance_batch(database, now=NOW + 31 * DAY, batch_size=10).sizes["exited"] == 1
    run_until_idle(database, NOW + 31 * DAY)
    assert runs(database) == [left(1, 1, "customer", "customer"), stayed(2, 2, "completed")]
    holds(database, NOW + 31 * DAY)


def test_the_eligibility_check_ends_a_run_whose_message_was_held(database: Database) -> None:
    inside(database, 2, VIP)
    advance_batch(database, now=NOW + 31 * DAY, batch_size=10)
    changed(database, 1, "tags", ["vip"])
    channel = RecorderChannel("email")
    engine = Engine(database, {"email": channel}, MESSAGES)
    assert deliver_channel(engine, channel, now=NOW + 31 * DAY).skipped == {"vip": 1}
    assert runs(database) == [left(1, 1, "vip", "vip"), stayed(2, 2, "completed")]
    assert skipped(database) == [("skipped", "vip", "vip")]
    holds(database, NOW + 31 * DAY)


def test_a_change_by_an_action_ends_the_run_before_the_next_step(database: Database) -> None:
    tagging = {
        "node_type": "action",
        "node_id": "tag",
        "action_config": {"type": "tag", "config": {"add": ["vip"]}},
    }
    people(database, 1)
    published(database, VIP, steps=[tagging, a_mail("first", "Hello")])
    enrolled(database)
    run_until_idle(database)
    assert runs(database) == [left(1, 0, "vip", "vip")]
    assert rows(database, "SELECT tags FROM contacts") == [(["vip"],)]


def test_a_rule_of_one_order_ends_the_run_of_this_order(database: Database) -> None:
    rule = {"id": "paid", "when": {"event_type": "paid", "match": {"order": "entry.order"}}}
    people(database, 1)
    published(database, rule, re_entry={"per_key": "order"})
    for order in (17, 18):
        enrolled(database, data={"order": order})
    run_until_idle(database)
    assert ingest(database, [event(1, 1, event_type="paid", data={"order": "18"})]).ended == 1
    by_order = (
        "SELECT e.personalization_data ->> 'order', s.exit_reason FROM campaign_enrollments e"
        " JOIN campaign_workflow_states s ON s.id = e.id ORDER BY 1"
    )
    assert rows(database, by_order) == [("17", None), ("18", "paid")]


def test_a_contacts_own_no_and_the_goal_take_precedence(database: Database) -> None:
    inside(database, 2, BOUGHT, goal_event={"event_type": "purchase"})
    leaves = event(3, 1, event_type="email_unsubscribed")
    assert ingest(database, [event(1, 1), leaves, event(2, 2)]).ended == 2
    assert [row[2] for row in runs(database)] == ["unsubscribed", "goal"]


def test_the_first_rule_that_holds_gives_the_reason(database: Database) -> None:
    always = {"type": "field", "field": "email", "operator": "is not empty"}
    people(database, 1)
    published(database, VIP, {"id": "b", "when": always}, {"id": "a", "when": always})
    assert enrolled(database).refused == {"b": 1}


def test_runs_that_migrate_follow_the_rules_of_the_new_version(database: Database) -> None:
    inside(database, 3)
    assert ingest(database, [event(1, 1)]).ended == 0
    file = {"name": "Left", "exits": [BOUGHT], "steps": FLOW}
    options = PublishOptions(
        now=NOW + DAY, settings=Settings(), in_flight=InFlightPolicy("migrate")
    )
    assert publish(database, file, options).version == 2
    assert ingest(database, [event(2, 2, 25 * 60)], now=NOW + 2 * DAY).ended == 1
    run_until_idle(database, NOW + 31 * DAY)
    # What happened before the migration is seen at the next step.
    assert runs(database) == [left(1, 1), left(2, 1), stayed(3, 2, "completed")]
    holds(database, NOW + 31 * DAY)


def test_a_field_that_cannot_be_compared_ends_no_run(database: Database) -> None:
    rule = {"id": "x", "when": {"type": "field", "field": "plan.end", "operator": ">", "value": 3}}
    people(database, 1)
    published(database, rule)
    changed(database, 1, "custom_fields", Jsonb({"plan": ["n/a"]}))
    assert enrolled(database).enrolled == 1
    run_until_idle(database, NOW)
    assert runs(database) == [stayed(1, 1)]


CUSTOMER: Mapping[str, Any] = {
    "id": "customer",
    "when": {"type": "composite", "logic": "OR", "sub_conditions": [
        {"type": "field", "field": "plan.name", "operator": "==", "value": "paid"},
        {"type": "tag", "value": "vip"}]},
}  # fmt: skip


def test_a_change_of_the_contact_ends_the_run_in_a_long_wait_within_a_tick(
    database: Database,
) -> None:
    inside(database, 4, CUSTOMER)
    published(database, name="Without rules")
    changed(database, 1, "custom_fields", Jsonb({"plan": {"name": "paid"}}))
    changed(database, 2, "tags", ["vip"])
    changed(database, 3, "name", "Ann")
    report = run_until_idle(database, NOW + DAY)
    assert report.followed.exited == 2
    expected = [left(n, 1, "customer", "customer") for n in (1, 2)]
    assert runs(database) == [*expected, stayed(3, 1), stayed(4, 1)]
    assert run_until_idle(database, NOW + DAY).followed.contacts == 0
    holds(database, NOW + DAY)


def test_a_change_of_the_contact_withdraws_its_message(database: Database) -> None:
    inside(database, 2, CUSTOMER)
    advance_batch(database, now=NOW + 31 * DAY, batch_size=10)
    rows(
        database,
        "UPDATE campaign_deliveries SET due_at = due_at + interval '1 day', held_by = 'window',"
        " held_until = due_at + interval '1 day' WHERE status = 'pending' RETURNING id",
    )
    changed(database, 1, "tags", ["vip"])
    run_until_idle(database, NOW + 31 * DAY)
    assert skipped(database) == [("skipped", "customer", "customer")]
    assert runs(database) == [left(1, 1, "customer", "customer"), stayed(2, 1)]


def test_contacts_that_match_when_they_migrate_leave_within_a_tick(database: Database) -> None:
    inside(database, 2)
    changed(database, 1, "tags", ["vip"])
    file = {"name": "Left", "exits": [CUSTOMER], "steps": FLOW}
    options = PublishOptions(
        now=NOW + DAY, settings=Settings(), in_flight=InFlightPolicy("migrate")
    )
    assert publish(database, file, options).version == 2
    run_until_idle(database, NOW + DAY)
    assert runs(database) == [left(1, 1, "customer", "customer"), stayed(2, 1)]


def test_rules_on_events_and_campaigns_without_rules_follow_no_contact(database: Database) -> None:
    inside(database, 1, BOUGHT)
    changed(database, 1, "tags", ["vip"])
    assert value(database, "SELECT count(*) FROM campaign_wait_queue") == 0


def test_the_rules_are_restored_from_the_tables_and_a_change_is_a_new_version(
    database: Database,
) -> None:
    people(database, 1)
    published(database, BOUGHT, VIP)
    campaign_id = value(database, "SELECT id FROM drip_campaigns")
    with database.transaction() as connection:
        file = stored_definition(connection, campaign_id)
    assert file["exits"] == [BOUGHT, VIP]
    options = PublishOptions(now=NOW, settings=Settings())
    assert publish(database, file, options).version == 1
    assert publish(database, file | {"exits": [VIP]}, options).version == 2
