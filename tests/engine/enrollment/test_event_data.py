"""Event triggers: the properties of the event are the entry data of the run, and `where` compares
them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import EmailConfig, TriggerConfig
from tests.engine.enrollment.arrivals import look_until_open, set_up
from tests.engine.events.incoming import ingest, rows, value
from tests.engine.factories import NOW, a_published_campaign, an_event, run_until_idle
from tests.engine.graphs import end, graph, node

LATER = NOW + timedelta(hours=1)


def flow(**config: Any) -> CampaignGraph:
    """Return a campaign with this event trigger, whose mail names the order."""
    start = TriggerConfig.model_validate(
        {"trigger": "event", "event_type": "order.placed", **config}
    )
    mail = EmailConfig(subject="{{ entry.order_id }} {{ event.total }}", body="x")
    return graph(
        node("start", "trigger", start, default="m"),
        node("m", "email", mail, default="end"),
        end(),
    )


def order(number: int | str, person: int = 1, **data: Any) -> dict[str, Any]:
    """Return the event of an order."""
    email = f"person{person}@example.com"
    occurred_at = (NOW + timedelta(minutes=30)).isoformat()
    return an_event(number, "order.placed", email=email, data=data, occurred_at=occurred_at)


def subjects(database: Database) -> list[str]:
    """Enroll by the trigger, and return the subjects that were sent."""
    run_until_idle(database, LATER)
    sent = rows(database, "SELECT subject FROM recorded_messages ORDER BY recipient, subject")
    return [subject.strip() for (subject,) in sent]


def test_two_orders_of_one_person_are_two_runs_with_their_own_numbers(database: Database) -> None:
    set_up(database, flow(re_entry={"per_key": "order_id"}), 2)
    ingest(database, [order(1, order_id="A", total=5), order(2, order_id="B", total=7)])
    ingest(database, [order(3, order_id="A", total=9), order(4, person=2, order_id="A", total=1)])
    assert subjects(database) == ["A 5", "B 7", "A 1"]
    assert rows(database, "SELECT DISTINCT entry_key FROM campaign_enrollments ORDER BY 1") == [
        ("A",),
        ("B",),
    ]


def test_an_event_without_the_key_is_refused_by_reason(database: Database) -> None:
    set_up(database, flow(re_entry={"per_key": "order_id"}), 1)
    ingest(database, [order(1, total=5), order(2, order_id=["A"]), order(3, order_id=3, total=4)])
    (report,) = run_until_idle(database, LATER).new_enrollments
    assert (report.enrolled, report.refused) == (1, {"no_entry_key": 2})


@pytest.mark.parametrize("policy", ["once", "after_exit"])
def test_the_first_of_several_events_gives_the_data_of_a_single_run(
    database: Database, policy: str
) -> None:
    set_up(database, flow(re_entry=policy), 1)
    ingest(database, [order(1, order_id="A", total=5), order(2, order_id="B", total=7)])
    assert len(subjects(database)) == 1


def test_only_events_that_match_enroll(database: Database) -> None:
    parts = [
        {"type": "field", "field": "total", "operator": ">", "value": 100},
        {"type": "field", "field": "customer.plan", "operator": "in", "value": ["pro", "max"]},
    ]
    where = {"type": "composite", "logic": "AND", "sub_conditions": parts}
    set_up(database, flow(where=where), 6)
    events = [
        order(1, 1, order_id="A", total=101, customer={"plan": "pro"}),
        order(2, 2, order_id="B", total="250.5", customer={"plan": "max"}),
        order(3, 3, order_id="C", total=100, customer={"plan": "pro"}),
        order(4, 4, order_id="D", total=101, customer="pro"),
        order(5, 5, order_id="E"),
        order(6, 6, order_id="F", total="n/a", customer={"plan": "pro"}),
        # A person is judged by each of their events.
        order(7, 6, order_id="G", total=300, customer={"plan": "pro"}),
    ]
    ingest(database, events)
    assert subjects(database) == ["A 101", "B 250.5", "G 300"]
    assert value(database, "SELECT count(*) FROM campaign_entry_queue") == 0


def test_backfill_judges_the_events_from_before_and_takes_their_data(database: Database) -> None:
    where = {"type": "field", "field": "total", "operator": ">", "value": 100}
    set_up(database, flow(), 2)  # makes the contacts
    ingest(database, [order(1, 1, order_id="A", total=101), order(2, 2, order_id="B", total=5)])
    ingest(database, [order(3, 1, order_id="C", total=500)])
    with database.transaction() as connection:
        connection.execute("DELETE FROM drip_campaigns")
        (workspace,) = connection.execute("SELECT id FROM workspaces").fetchone() or ()
        start = flow(where=where, backfill=True, re_entry={"per_key": "order_id"})
        a_published_campaign(connection, start, workspace_id=workspace, now=LATER)
    assert look_until_open(database, now=LATER) == {"enrolled": 2}
    assert subjects(database) == ["A 101", "C 500"]


def test_a_day_in_where_is_that_of_the_contact(database: Database) -> None:
    where = {"type": "field", "field": "due", "operator": "==", "value": "today"}
    _, ids = set_up(database, flow(where=where), 2)
    zones = ("Asia/Tokyo", "America/New_York")
    with database.transaction() as connection:
        for contact_id, zone in zip(ids, zones, strict=True):
            connection.execute(
                "UPDATE contacts SET custom_fields = jsonb_build_object('timezone', %s::text)"
                " WHERE id = %s",
                [zone, contact_id],
            )
    late = NOW.replace(hour=23)
    tomorrow = (NOW + timedelta(days=1)).date().isoformat()
    ingest(database, [order(n, n, order_id=f"P{n}", due=tomorrow) for n in (1, 2)], now=late)
    run_until_idle(database, late)
    assert rows(database, "SELECT subject FROM recorded_messages") == [("P1",)]


@pytest.mark.parametrize(
    ("subject", "stored"),
    [
        ("Hello", {}),
        ("{{ entry.order_id }}", {"order_id": "A", "total": 5}),
        ("{{ event.total }}", {"order_id": "A", "total": 5}),
    ],
)
def test_the_data_is_stored_for_campaigns_that_read_it(
    database: Database, subject: str, stored: dict[str, Any]
) -> None:
    plain = flow()
    mail = node("m", "email", EmailConfig(subject=subject, body="x"), default="end")
    set_up(database, replace(plain, nodes={**plain.nodes, "m": mail}), 1)
    ingest(database, [order(1, order_id="A", total=5)])
    run_until_idle(database, LATER)
    assert value(database, "SELECT personalization_data FROM campaign_enrollments") == stored
