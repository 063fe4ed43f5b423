"""A contact whose enrollment the database refuses stays out alone, and is named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.domain.graph.volume import VolumeGuards
from drip_pipeline.engine.enrollment.audience import Contacts
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.enrollment.entry_triggers import run_entry_triggers
from drip_pipeline.engine.enrollment.webhook_trigger import enroll_by_webhook
from drip_pipeline.engine.operations import incidents
from tests.engine.enrollment.arrivals import set_up
from tests.engine.events.incoming import rows
from tests.engine.factories import NOW
from tests.engine.graphs import email, end, graph, node
from tests.engine.isolation.refusing import KINDS, refuse_rows


def flow(guards: VolumeGuards | None = None, **keys: Any) -> Any:
    config = TriggerConfig.model_validate(keys)
    made = graph(node("start", "trigger", config, default="m"), email("m", default="end"), end())
    return made if guards is None else replace(made, guards=guards)


def refused(database: Database, contact_id: UUID, kind: str, table: str, **how: str) -> None:
    with database.transaction() as connection:
        refuse_rows(connection, table, contact_id, kind, **how)


def inside(database: Database) -> set[UUID]:
    return {row for (row,) in rows(database, "SELECT contact_id FROM campaign_enrollments")}


def check_named(database: Database, contact_id: UUID) -> None:
    (incident,) = incidents.current(database, now=NOW, backlog_minutes=10_000)
    details: Any = incident.details
    (named,) = details["contacts"]
    assert named["contact_id"] == str(contact_id)
    assert named["reason"].startswith("could not be enrolled: ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", ["campaign_enrollments", "campaign_workflow_states"])
def test_enrolling_leaves_out_the_contact_that_the_database_refuses(
    database: Database, kind: str, table: str
) -> None:
    _, people = set_up(database, flow(), 9)
    refused(database, people[4], kind, table)
    report = enroll(database, "Welcome", Contacts(people), now=NOW)
    assert (report.enrolled, report.refused) == (8, {"refused_by_database": 1})
    assert inside(database) == set(people) - {people[4]}
    check_named(database, people[4])


def test_the_limits_count_the_parts_of_a_chunk_together(database: Database) -> None:
    _, people = set_up(database, flow(VolumeGuards(per_day=5)), 9)
    refused(database, people[1], "at once", "campaign_enrollments")
    report = enroll(database, "Welcome", Contacts(people), now=NOW)
    assert (report.enrolled, report.refused["refused_by_database"]) == (5, 1)
    assert len(inside(database)) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_trigger_goes_on_with_the_others(database: Database, kind: str) -> None:
    _, people = set_up(database, flow(trigger="tag", tag="vip"), 9)
    refused(database, people[4], kind, "campaign_enrollments")
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET tags = '{vip}'")
    (report,) = run_entry_triggers(database, now=NOW)
    assert (report.enrolled, report.refused["refused_by_database"]) == (8, 1)
    assert inside(database) == set(people) - {people[4]}
    check_named(database, people[4])
    assert run_entry_triggers(database, now=NOW) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_answers_which_contacts_the_database_refuses(database: Database, kind: str) -> None:
    _, people = set_up(database, flow(trigger="webhook"), 3)
    refused(database, people[1], kind, "campaign_enrollments")
    how = {"of": "new.id", "when": "new.company = 'x'"}
    refused(database, people[2], kind, "contacts", **how)
    emails = [email for (email,) in rows(database, "SELECT email FROM contacts ORDER BY email")]
    fields = {"company": "x", "unsubscribed": False}
    body = {"people": [{"email": each, "fields": fields} for each in [*emails, "new@example.com"]]}
    result = enroll_by_webhook(database, "Welcome", json.dumps(body).encode(), now=NOW)
    assert (result.enrolled, result.contacts_created) == (2, 1)
    assert result.refused == {"refused_by_database": 1}
    assert result.not_read == ({"place": 2, "reason": "refused_by_database"},)
    assert people[0] in inside(database)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_contact_of_a_call_may_still_refuse_messages(
    database: Database, kind: str
) -> None:
    _, people = set_up(database, flow(trigger="webhook"), 1)
    how = {"of": "new.id", "when": "new.company = 'x'"}
    refused(database, people[0], kind, "contacts", **how)
    ((address,),) = rows(database, "SELECT email FROM contacts")
    body = {"email": address, "fields": {"company": "x", "unsubscribed": True}}
    enroll_by_webhook(database, "Welcome", json.dumps(body).encode(), now=NOW)
    assert rows(database, "SELECT address, reason FROM campaign_suppressions") == [
        (address, "unsubscribed")
    ]
    assert inside(database) == set()
