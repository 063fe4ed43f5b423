"""Events with names of an organization's own: taken from every source, stored, and registered."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import event_names as event_names_db
from drip_pipeline.db.events import inbox as inbox_db
from drip_pipeline.db.events.event_names import EventName
from drip_pipeline.db.events.inbox import Arrival
from drip_pipeline.engine.events.drain_inbox import drain_inbox
from drip_pipeline.engine.events.event_parser import DATA_TOO_DEEP
from drip_pipeline.engine.events.ingest import ingest_file
from drip_pipeline.engine.events.landing_folder import load_files, look
from drip_pipeline.engine.events.retry_rejected import retry_rejected
from tests.engine.events.incoming import (
    LATER,
    ingest,
    mailed,
    minutes,
    nested,
    rejects,
    rows,
    value,
)
from tests.engine.factories import (
    NOW,
    a_workspace,
    an_event,
    contacts,
    people_inside,
    run_until_idle,
)
from tests.engine.graphs import add_tag, email, end, goal, graph, trigger, wait_for

REPORT: dict[str, Any] = {
    "pages": 12,
    "value": "12.50",
    "title": "Q1",
    "is_public": True,
    "author": {"team": "Sales"},
    "tags": ["a", "b"],
}
ADA = "person1@example.com"


def people(database: Database, count: int = 2) -> None:
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), count)


def report_created(number: int | str, **fields: Any) -> dict[str, Any]:
    return an_event(number, "report_created", email=ADA, data=REPORT) | fields


def registered(database: Database) -> list[EventName]:
    with database.transaction() as connection:
        return event_names_db.listed(connection, None)


def stored(database: Database) -> list[tuple[Any, ...]]:
    return rows(database, "SELECT event_type, event_data FROM contact_events ORDER BY event_type")


def test_an_own_event_is_stored_with_its_properties(database):
    people(database)
    assert ingest(database, [report_created(1)]).accepted == 1
    assert rows(database, "SELECT event_type, value, currency, event_data FROM contact_events") == [
        ("report_created", Decimal("12.50"), None, REPORT)
    ]


def test_a_value_that_is_no_amount_is_a_property_like_others(database):
    people(database)
    assert ingest(database, [report_created(1, data={"value": "much"})]).accepted == 1
    assert rows(database, "SELECT value, event_data FROM contact_events") == [
        (None, {"value": "much"})
    ]


def test_names_are_read_in_any_case_and_short_names_keep_their_meaning(database):
    people(database)
    names = ["Report Created", "report-created", "order.shipped", "order", "Purchased"]
    events = [report_created(n, event_type=name, data={}) for n, name in enumerate(names)]
    assert ingest(database, events).accepted == 5
    assert [row[0] for row in stored(database)] == [
        "order.shipped", "purchase", "purchase", "report_created", "report_created",
    ]  # fmt: skip
    assert [(name.event_type, name.events) for name in registered(database)] == [
        ("order.shipped", 1),
        ("report_created", 2),
    ]


def test_a_custom_event_with_a_name_in_its_data_stays_readable(database):
    people(database)
    event = an_event(1, "custom_event", email=ADA, data={"name": "report_created", "pages": 3})
    assert ingest(database, [event]).accepted == 1
    assert stored(database) == [("custom_event", {"name": "report_created", "pages": 3})]
    assert registered(database) == []


@pytest.mark.parametrize("source", ["plain", "gzip", "parquet", "folder", "inbox"])
def test_own_events_are_taken_from_every_source(database: Database, tmp_path: Path, source: str):
    people(database)
    events = [report_created(1), report_created(2, event_type="order.shipped"), report_created(1)]
    text = b"\n".join(map(orjson.dumps, events))
    path = tmp_path / "generic" / "events"
    path.parent.mkdir()
    match source:
        case "plain" | "folder":
            path.write_bytes(text)
        case "gzip":
            path.write_bytes(gzip.compress(text))
        case "parquet":
            columns = [event | {"data": orjson.dumps(event["data"]).decode()} for event in events]
            pq.write_table(pa.Table.from_pylist(columns), path)
    if source == "folder":
        path = path.rename(path.with_name("events.ndjson"))
        found = {file.path: file.identity for file in look(tmp_path)}
        (loaded,) = load_files(database, tmp_path, found, now=LATER)
        assert (loaded.accepted, loaded.duplicates) == (2, 1)
    elif source == "inbox":
        with database.transaction() as connection:
            inbox_db.append(connection, [Arrival("generic", orjson.dumps(events), LATER)])
        drained = drain_inbox(database, now=LATER)
        assert (drained.accepted, drained.duplicates) == (2, 1)
    else:
        report = ingest_file(database, path, now=LATER)
        assert (report.accepted, report.duplicates) == (2, 1)
    assert stored(database) == [("order.shipped", REPORT), ("report_created", REPORT)]


def test_a_name_registers_itself_with_times_count_and_properties_but_no_values(database):
    people(database)
    first = [
        report_created(1, occurred_at=minutes(5), data={"pages": 12, "secret": "s3cret"}),
        report_created(2, occurred_at=minutes(1), data={"pages": 3}),
        report_created(3, email="nobody@example.com", data={"never": 1}),
    ]
    assert ingest(database, first).accepted == 2
    assert ingest(database, first).accepted == 0
    (name,) = registered(database)
    assert name == EventName(
        "Acme", "report_created", 2, NOW + timedelta(minutes=1), NOW + timedelta(minutes=5),
        {"pages": "number", "secret": "string"},
    )  # fmt: skip
    later = {"pages": 5, "author": {}, "tags": [], "ok": True, "a@b.example": 1, "x": None}
    ingest(database, [report_created(4, occurred_at=minutes(9), data=later)])
    (name,) = registered(database)
    assert (name.events, name.last_seen_at) == (3, NOW + timedelta(minutes=9))
    assert name.properties == {
        "pages": "number", "secret": "string", "author": "object", "tags": "array",
        "ok": "boolean",
    }  # fmt: skip
    assert "s3cret" not in str(rows(database, "SELECT * FROM event_names"))


def test_names_belong_to_their_workspace(database):
    people(database)
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection, "Beta"), 1)
    ingest(database, [report_created(1)], workspace="Acme")
    ingest(database, [report_created(2), report_created(3)], workspace="Beta", provider="b")
    assert [(name.workspace, name.events) for name in registered(database)] == [
        ("Acme", 1),
        ("Beta", 2),
    ]


def test_what_a_name_can_grow_to_is_limited(database):
    people(database)
    wide = {f"p{n}": n for n in range(300)}
    ingest(database, [report_created(1, data=wide)])
    ingest(database, [report_created(2, data={"later": 1})])
    assert len(registered(database)[0].properties) == 200
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO event_names SELECT workspace_id, 'n' || g, now(), now(), 1"
            " FROM event_names, generate_series(1, 5000) g"
        )
    events = [report_created(3), report_created(4, event_type="one_more")]
    assert ingest(database, events).accepted == 2
    names = {name.event_type: name.events for name in registered(database)}
    assert names["report_created"] == 3
    assert "one_more" not in names


def test_chunks_of_the_vocabulary_alone_do_not_touch_the_register(database, monkeypatch):
    _, sent = mailed(database)
    calls: list[object] = []
    monkeypatch.setattr(event_names_db, "register", calls.append)
    vocabulary = [
        an_event(1, "email_opened", message_id=sent[0].message_id),
        an_event(2, "purchase", email=ADA, data={"value": 5}),
    ]
    own = [report_created(3), report_created(4)]
    # Chunks of two lines: the second has own names, the third has not.
    more = [event | {"event_id": f"again-{n}"} for n, event in enumerate(vocabulary)]
    assert ingest(database, vocabulary + own + more, chunk_size=2).accepted == 6
    assert len(calls) == 1


def test_an_own_event_of_a_campaign_belongs_to_its_enrollment(database):
    _, (sent,) = mailed(database)
    event = report_created(1, campaign="Welcome", occurred_at=minutes(5))
    assert ingest(database, [event]).accepted == 1
    assert rows(
        database,
        "SELECT enrollment_id, message_id, event_source, event_data FROM campaign_events"
        " WHERE event_type = 'report_created'",
    ) == [(sent.enrollment_id, sent.message_id, "webhook", REPORT)]
    assert registered(database)[0].events == 1


@pytest.mark.parametrize("fields", [{}, {"campaign": "Welcome"}])
def test_an_own_event_ends_the_wait_for_it(database, fields):
    people_inside(
        database,
        graph(
            trigger("wait"),
            wait_for("wait", "report_created", event="yes", timeout="no"),
            add_tag("yes", "yes", default="end"),
            add_tag("no", "no", default="end"),
            end(),
        ),
        2,
    )
    other = report_created(1, event_type="report_deleted")
    assert ingest(database, [other]).resumed == 0
    assert ingest(database, [report_created(2, **fields)]).resumed == 1
    run_until_idle(database, LATER)
    assert value(database, "SELECT array_agg(email) FROM contacts WHERE 'yes' = ANY(tags)") == [ADA]


def test_an_own_event_can_be_the_goal_of_a_campaign(database):
    flow = graph(
        trigger("mail"), email("mail", default="end"), end(), goal=goal("report_created", 48)
    )
    people_inside(database, flow, 1)
    report = ingest(database, [report_created(1), report_created(2, event_type="other")])
    assert (report.accepted, report.conversions) == (2, 1)


def test_an_own_event_is_retried_when_its_contact_exists(database):
    people(database)
    event = report_created(1, email="late@example.com")
    assert ingest(database, [event]).accepted == 0
    assert registered(database) == []
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET email = 'late@example.com' WHERE email = %s", [ADA])
    assert retry_rejected(database, now=LATER).accepted == 1
    assert [name.events for name in registered(database)] == [1]
    assert rejects(database) == []


def test_data_up_to_eight_deep_is_taken_and_deeper_data_is_set_aside(database):
    people(database)
    events = [report_created(depth, data=nested(depth)) for depth in (7, 8, 9, 250, 500, 100_000)]
    wide = {"a": [{"b": [1]} for _ in range(50)], "text": "{[{[{[{[{[{["}
    report = ingest(database, [*events, report_created("wide", data=wide)])
    assert (report.accepted, report.rejected) == (3, {DATA_TOO_DEEP: 4})


def test_events_of_one_name_that_arrive_at_once_are_all_counted(database):
    people(database)

    def take(provider: str) -> int:
        events = [report_created(n, event_type=f"name_{n % 3}") for n in range(30)]
        return ingest(database, events, provider=provider, chunk_size=10).accepted

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(take, "abcd")) == 120
    assert [name.events for name in registered(database)] == [40, 40, 40]
