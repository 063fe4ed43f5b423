"""Trigger webhooks: contacts enrolled by a call, repeated calls, and refused calls."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import orjson
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.settings import Secret
from tests.engine.events.incoming import LATER, rows, value
from tests.engine.factories import Published, a_published_campaign, a_workspace, contacts
from tests.engine.graphs import email, end, graph, node
from tests.receiver import calls
from tests.receiver.running import Receiver, Response, a_receiver

TOKEN = {"Authorization": "Bearer a token"}


def a_campaign(database: Database, name: str = "Welcome", **options: Any) -> Published:
    door = TriggerConfig.model_validate({"trigger": "webhook"} | options)
    with database.transaction() as connection:
        workspace = a_workspace(connection, f"of {name}")
        return a_published_campaign(
            connection,
            graph(
                node("start", "trigger", door, default="mail"), email("mail", default="end"), end()
            ),
            workspace_id=workspace,
            name=name,
        )


@pytest.fixture
def receiver(database: Database) -> Iterator[Receiver]:
    secrets = (Secret(calls.SECRET),)
    tokens = (Secret("an old one"), Secret("a token"))
    with a_receiver(database, trigger_secrets=secrets, trigger_tokens=tokens) as running:
        yield running


def called(receiver: Receiver, body: Any, campaign: str = "Welcome", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return receiver.post(f"/trigger/{campaign}", orjson.dumps(body), TOKEN | named)


def enrolled(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT contact_email, entry_key FROM campaign_enrollments ORDER BY 1, 2",
    )


def test_a_call_enrolls_an_unknown_contact(database, receiver):
    campaign = a_campaign(database)
    fields = {"first_name": "Ada", "company": "Example", "plan": "pro", "seats": 3, "tags": ["a"]}
    answer = called(receiver, {"email": "Ada@example.com", "fields": fields})
    assert answer.status == 200
    assert answer.json() == {
        "campaign_id": str(campaign.campaign_id),
        "campaign": "Welcome",
        "enrolled": 1,
        "already_in": 0,
        "refused": {},
        "contacts_created": 1,
        "not_read": [],
        "fields_set_aside": [],
        "is_repeat": False,
    }
    assert rows(
        database,
        "SELECT workspace_id, email, name, company, tags, custom_fields FROM contacts",
    ) == [
        (
            campaign.workspace_id, "ada@example.com", "Ada", "Example", ["a"],
            {"first_name": "Ada", "plan": "pro", "seats": 3},
        )
    ]  # fmt: skip
    assert value(database, "SELECT workflow_status FROM campaign_workflow_states") == "running"


def test_an_existing_contact_is_updated_and_enrolled(database, receiver):
    campaign = a_campaign(database)
    with database.transaction() as connection:
        contacts(connection, campaign.workspace_id, 1)
    answer = called(receiver, {"email": "person1@example.com", "fields": {"plan": "pro"}})
    assert (answer.json()["enrolled"], answer.json()["contacts_created"]) == (1, 0)
    assert value(database, "SELECT custom_fields->>'plan' FROM contacts") == "pro"


def test_many_contacts_each_with_an_entry_key(database, receiver):
    a_campaign(database, re_entry="per_key")
    contacts = [
        {"email": "a@example.com", "entry_key": "order-1"},
        {"email": "b@example.com", "entry_key": 2},
        {"email": "c@example.com"},
    ]
    answer = called(receiver, {"people": contacts, "entry_key": "all"})
    assert answer.json()["enrolled"] == 3
    assert enrolled(database) == [
        ("a@example.com", "order-1"), ("b@example.com", "2"), ("c@example.com", "all")
    ]  # fmt: skip
    again = called(receiver, {"people": [contacts[0], {"email": "b@example.com", "entry_key": 3}]})
    assert (again.json()["enrolled"], again.json()["already_in"]) == (1, 1)


@pytest.mark.parametrize("named_by", ["header", "body", "webhook-id"])
def test_a_repeated_call_returns_the_stored_result(database, receiver, named_by):
    a_campaign(database, re_entry="after_exit")
    body: dict[str, Any] = {"email": "ada@example.com"}
    if named_by == "body":
        body["idempotency_key"] = "call-1"
    answers = []
    for minute in range(2):
        receiver.clock.now = LATER + timedelta(minutes=minute)
        if named_by == "webhook-id":
            call = calls.by_standard(orjson.dumps(body), receiver.clock.now, "call-1")
            answers.append(receiver.post("/trigger/Welcome", *call))
        else:
            headers = {"Idempotency_Key": "call-1"} if named_by == "header" else {}
            answers.append(called(receiver, body, **headers))
        with database.transaction() as connection:  # they are through already
            connection.execute("UPDATE campaign_workflow_states SET workflow_status = 'completed', "
                               "completed_at = %s, next_execution_at = NULL", [LATER])  # fmt: skip
    first, second = (answer.json() for answer in answers)
    assert (first["enrolled"], first["is_repeat"]) == (1, False)
    assert second == first | {"is_repeat": True}
    assert len(enrolled(database)) == 1


def test_another_call_under_the_same_key_is_refused(database, receiver):
    a_campaign(database)
    called(receiver, {"email": "a@example.com"}, Idempotency_Key="call-1")
    other = called(receiver, {"email": "b@example.com"}, Idempotency_Key="call-1")
    assert other.status == 409
    assert "same key" in other.json()["error"]
    assert len(enrolled(database)) == 1


def test_concurrent_repetitions_of_a_call_enroll_the_contact_once(database, receiver):
    a_campaign(database, re_entry="after_exit")
    body = {"email": "ada@example.com"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: called(receiver, body, Idempotency_Key="call-1"), range(8))
        )
    assert [answer.status for answer in answers] == [200] * 8
    assert sum(not answer.json()["is_repeat"] for answer in answers) == 1
    assert len(enrolled(database)) == 1


def test_invalid_contacts_are_reported_by_position_and_the_others_enrolled(database, receiver):
    a_campaign(database)
    contacts = [
        {"email": "good@example.com"},
        {"email": "not an address"},
        {"fields": {"company": "Example"}},
        "somebody",
        {"email": "x@example.com", "plan": "pro"},
        {"email": "GOOD@example.com"},
    ]
    answer = called(receiver, {"people": contacts})
    assert answer.status == 200
    assert answer.json()["enrolled"] == 1
    assert {each["place"]: each["reason"] for each in answer.json()["not_read"]} == {
        1: "invalid_email",
        2: "no_email",
        3: "is not a JSON object",
        4: "has an unknown key: 'plan' (contact fields belong in `fields`)",
        5: "repeated_email",
    }
    assert "not an address" not in answer.text


def test_an_unreadable_field_does_not_cost_the_contact_and_one_no_counts(database, receiver):
    a_campaign(database)
    contacts = [
        {"email": "a@example.com", "fields": {"ai_score": 140, "plan": "pro"}},
        {"email": "b@example.com"},
        {"email": "B@example.com", "fields": {"unsubscribed": True}},
    ]
    answer = called(receiver, {"people": contacts}).json()
    assert (answer["enrolled"], answer["refused"]) == (1, {"suppressed": 1})
    assert answer["fields_set_aside"] == [
        {"place": 0, "field": "ai_score", "reason": "invalid_ai_score"}
    ]


def test_suppressed_contacts_are_refused(database, receiver):
    campaign = a_campaign(database)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at) "
            "VALUES (%s, 'ada@example.com', 'unsubscribed', %s)", [campaign.workspace_id, LATER],
        )  # fmt: skip
    answer = called(receiver, {"email": "ada@example.com"})
    assert answer.json()["refused"] == {"suppressed": 1}
    assert enrolled(database) == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 422, "not JSON"),
        (b"7", 422, "not a JSON object"),
        (b'{"people": []}', 422, "has no contacts"),
        (b'{"people": {}}', 422, "not a list"),
        (b'{"people": [], "campaign": 1}', 422, "'campaign'"),
        (b'{"people": [' + b",".join([b"{}"] * 1_001) + b"]}", 422, "1,000 contacts"),
        (b'{"email": "nobody"}', 422, "invalid_email"),
        (b'{"email": "a@example.com", "idempotency_key": ""}', 422, "idempotency_key"),
    ],
)
def test_an_invalid_call_is_refused_with_the_reason(database, receiver, body, status, words):
    a_campaign(database)
    answer = receiver.post("/trigger/Welcome", body, TOKEN)
    assert answer.status == status
    assert words in answer.text
    assert enrolled(database) == []


def test_an_unknown_campaign_or_another_trigger_is_refused(database, receiver):
    a_campaign(database, "By hand", trigger="manual")
    by_hand = called(receiver, {"email": "a@example.com"}, "By%20hand")
    assert (by_hand.status, "has no webhook trigger" in by_hand.text) == (409, True)
    assert called(receiver, {"email": "a@example.com"}, "Nothing").status == 404
    a_campaign(database, "Twice")
    a_campaign(database, "Twice")
    assert called(receiver, {"email": "a@example.com"}, "Twice").status == 409
    keyed = a_campaign(database, "Keyed", re_entry="per_key")
    unnamed = called(receiver, {"email": "a@example.com"}, str(keyed.campaign_id))
    assert (unnamed.status, "per key" in unnamed.text) == (409, True)
    assert value(database, "SELECT count(*) FROM contacts") == 0  # nothing half done


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer guess"},
        {"Authorization": "Basic a token"},
        {"Authorization": "Bearer \u00fc"},
        {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"},
    ],
)
def test_an_unverified_call_enrolls_no_contact(database, receiver, headers):
    a_campaign(database)
    answer = receiver.post("/trigger/Welcome", b'{"email": "a@example.com"}', headers)
    assert answer.status == 401
    assert enrolled(database) == []
    assert receiver.counted("trigger") == {"forged": 1}


def test_a_replayed_call_is_refused(database, receiver):
    a_campaign(database)
    call = calls.by_standard(b'{"email": "a@example.com"}')
    statuses = [receiver.post("/trigger/Welcome", *call).status for _ in range(2)]
    assert statuses == [200, 401]
    assert receiver.counted("trigger") == {"accepted": 1, "replayed": 1}


def test_without_a_secret_the_endpoint_is_not_found(database):
    a_campaign(database)
    with a_receiver(database) as receiver:
        assert called(receiver, {"email": "a@example.com"}).status == 404


def test_one_address_in_several_spellings_is_one_contact(database, receiver):
    a_campaign(database)
    with database.transaction() as connection:
        connection.execute("UPDATE workspaces SET default_region = 'DE'")
        connection.execute(
            "INSERT INTO contacts (workspace_id, email) "
            "SELECT id, 'Ann@MÜLLER.example' FROM workspaces"
        )
    body = {
        "people": [
            {"email": "ann@xn--mller-kva.example", "fields": {"phone": "0151 23456780"}},
            {"email": "ann@müller.example"},
            {"email": "bob@straße.example"},
        ]
    }
    answer = called(receiver, body).json()
    assert (answer["enrolled"], answer["contacts_created"]) == (2, 1)
    assert [each["reason"] for each in answer["not_read"]] == ["repeated_email"]
    with database.transaction() as connection:
        rows = connection.execute("SELECT email, phone FROM contacts ORDER BY email").fetchall()
    assert sorted(rows) == [
        ("Ann@MÜLLER.example", "+4915123456780"),
        ("bob@straße.example", None),
    ]


def test_a_secret_of_a_workspace_enrolls_in_its_campaigns_only(database):
    a_campaign(database)
    a_campaign(database, "Other")
    tokens = (Secret("of Welcome=one token"), Secret("of Other=another token"))
    secrets = (Secret(f"of Other={calls.SECRET}"),)
    body = orjson.dumps({"email": "a@example.com"})
    with a_receiver(database, trigger_tokens=tokens, trigger_secrets=secrets) as receiver:
        statuses = [
            receiver.post(f"/trigger/{campaign}", body, {"Authorization": f"Bearer {token}"}).status
            for campaign in ("Welcome", "Other")
            for token in ("one token", "another token", "of Welcome=one token")
        ]
        assert statuses == [200, 404, 401, 404, 200, 401]
        signed = calls.by_standard(body)
        assert receiver.post("/trigger/Welcome", *signed).status == 404
        assert receiver.post("/trigger/Other", *calls.by_standard(body, call_id="2")).status == 200
