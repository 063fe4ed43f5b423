"""Lines that cannot be taken: kept aside with the reason, and the rest goes on."""

from __future__ import annotations

from uuid import UUID, uuid4

import orjson
import pytest

from drip_pipeline.engine.events.event_parser import (
    DATA_TOO_DEEP,
    DATA_TOO_LONG,
    NO_EVENT_NAME,
    OF_NO_MESSAGE,
)
from tests.engine.events.incoming import ONE_MAIL, ingest, mailed, minutes, nested, rejects, value
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    a_workspace,
    an_event,
    contacts,
    enrolled,
)

GOOD = {"event_id": "x", "event_type": "email_opened", "occurred_at": NOW.isoformat(), "email": "a"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event_id": None}, "event_id is missing"),
        ({"event_id": " "}, "event_id is missing"),
        ({"event_id": True}, "event_id is missing"),
        ({"event_type": None}, "event_type is missing"),
        ({"event_type": "email teleported!"}, NO_EVENT_NAME),
        ({"event_type": "2nd_visit"}, NO_EVENT_NAME),
        ({"event_type": "v" * 65}, NO_EVENT_NAME),
        ({"event_type": "email_teleported", "message_id": str(UUID(int=1))}, OF_NO_MESSAGE),
        ({"event_type": "email_teleported", "provider_message_id": "relay-1"}, OF_NO_MESSAGE),
        ({"event_type": "email_sent"}, "event_type is one that only the engine itself writes"),
        ({"occurred_at": None}, "occurred_at is missing"),
        ({"occurred_at": "yesterday"}, "occurred_at is not an ISO time"),
        ({"occurred_at": 1772442000}, "occurred_at is not an ISO time"),
        ({"occurred_at": "1999-12-31T23:59:59Z"}, "occurred_at is before the year 2000"),
        ({"occurred_at": minutes(2 * 24 * 60)}, "occurred_at is in the future"),
        ({"occurred_at": "0001-01-01T00:00:00+23:59"}, "occurred_at is before the year 2000"),
        ({"email": None}, "neither message_id nor email is given"),
        ({"email": 5}, "email is not a text"),
        ({"data": "{"}, "data is not a JSON object"),
        ({"data": [1]}, "data is not a JSON object"),
        ({"data": {"text": "a\x00b"}}, "the line holds a NUL character"),
        ({"data": {"text": "é" * 17_000}}, DATA_TOO_LONG),
        ({"data": nested(9)}, DATA_TOO_DEEP),
        ({"data": {"location": nested(9)}}, DATA_TOO_DEEP),
        ({"user_agent": "a\x00b"}, "the line holds a NUL character"),
        ({"event_type": "purchase", "data": {"value": "much"}}, "data.value is not an amount"),
        ({"event_type": "purchase", "data": {"value": 1e12}}, "data.value is not an amount"),
        ({"event_type": "purchase", "data": {"value": True}}, "data.value is not an amount"),
        ({"email": "nobody@example.com"}, "no such contact"),
        ({"message_id": str(UUID(int=1))}, "no such message"),
        ({"campaign": "Nothing"}, "no such campaign"),
    ],
)
def test_a_rejected_line_is_stored_with_its_reason(database, change, reason):
    with database.transaction() as connection:
        a_workspace(connection)
    line = GOOD | change
    report = ingest(database, [line])
    assert (report.lines, report.accepted, report.rejected) == (1, 0, {reason: 1})
    [(source, number, kept_reason, raw)] = rejects(database)
    assert (source, number, kept_reason) == ("test.ndjson", 1, reason)
    assert raw.encode() == orjson.dumps(line)
    assert "@" not in kept_reason


def test_campaigns_of_one_name_are_distinguished_by_id_only(database):
    with database.transaction() as connection:
        one = a_published_campaign(connection, ONE_MAIL, name="Twin")
        contact_ids = contacts(connection, one.workspace_id, 1)
        other = a_published_campaign(connection, ONE_MAIL, name="Twin")
        enrolled(connection, one, contact_ids)
    by_name = an_event(1, "converted", email="person1@example.com", campaign="Twin")
    by_id = by_name | {"event_id": "e-2", "campaign": str(one.campaign_id)}
    report = ingest(database, [by_name, by_id])
    assert (report.accepted, report.rejected) == (1, {"several campaigns have this name": 1})
    with database.transaction() as connection:
        connection.execute(
            "UPDATE drip_campaigns SET status = 'archived' WHERE id = %s", [other.campaign_id]
        )
    assert ingest(database, [by_name]).accepted == 1


def test_two_files_of_one_name_with_different_lines_lose_nothing(database):
    for number in (1, 2):
        ingest(database, [an_event(number, "email_opened", message_id=uuid4())])
    assert [row[1] for row in rejects(database)] == [1, 1]


def test_a_value_that_the_database_refuses_rejects_one_line(database, monkeypatch):
    _, sent = mailed(database, 7)
    monkeypatch.setattr(
        "drip_pipeline.engine.events.event_parser._is_ip_address", lambda given: True
    )
    events = [
        an_event(
            n, "email_opened", message_id=s.message_id, ip_address="bad" if n == 4 else "192.0.2.1"
        )
        for n, s in enumerate(sent)
    ]
    events.append(an_event(99, "email_opened"))
    report = ingest(database, events)
    assert report.accepted == 6
    assert report.rejected == {
        "the database refused a value": 1,
        "neither message_id nor email is given": 1,
    }
    assert [row[1] for row in rejects(database)] == [5, 8]
    assert report.lines == 8


def test_no_partition_is_created_for_rejected_events(database):
    _, [sent] = mailed(database)
    months = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'campaign_events'::regclass"
    before = value(database, months)
    stray = [
        an_event(n, "email_opened", message_id=uuid4(), occurred_at=f"20{n:02}-05-01T00:00:00Z")
        for n in range(25)
    ]
    ingest(database, stray)
    assert value(database, months) == before
    old = an_event(
        99, "email_opened", message_id=sent.message_id, occurred_at="2025-05-17T00:00:00Z"
    )
    assert ingest(database, [old]).accepted == 1
    assert value(database, "SELECT count(*) FROM campaign_events_2025_05") == 1
