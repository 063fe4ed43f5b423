"""Waits and conditions that ask for more than the type of an event."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import ConditionConfig, EventWait, TriggerConfig
from drip_pipeline.engine.campaigns.campaign import find_campaign
from drip_pipeline.engine.enrollment.admission import admit
from drip_pipeline.engine.enrollment.entry_keys import RunEntry
from drip_pipeline.engine.enrollment.entry_terms import lock_entry_terms
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import InFlightPolicy, PublishOptions
from drip_pipeline.settings import Settings
from tests.conftest import own_database
from tests.engine.events.incoming import ingest, minutes, rows, value
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    a_workspace,
    an_event,
    contacts,
    people_inside,
    run_until_idle,
)
from tests.engine.graphs import email, end, graph, node, trigger, wait_hours

DAY = timedelta(days=1)
LARGE = {"type": "field", "field": "value", "operator": ">", "value": 100}
OPENED: dict[str, Any] = {"type": "event", "event_type": "email_opened"}


def waits(node_id: str, keys: dict[str, Any], **ports: str) -> Any:
    config = EventWait.model_validate({"max_wait": {"value": 2, "unit": "days"}, **keys})
    return node(node_id, "wait", config, **ports)


def asks(node_id: str, condition: dict[str, Any], **ports: str) -> Any:
    branches: Any = [{"id": "yes", "condition": condition}, {"id": "else"}]
    return node(
        node_id, "condition", ConditionConfig.model_validate({"branches": branches}), **ports
    )


def behind_a_mail(keys: dict[str, Any], **ports: str) -> CampaignGraph:
    ports = ports or {"event": "yes"}
    return graph(
        trigger("m1"),
        email("m1", default="w"),
        waits("w", keys, **ports, timeout="no"),
        *(end(name) for name in {*ports.values(), "no"}),
    )


def purchase(number: int, amount: float, at: float = 5, person: int = 1, **data: Any) -> Any:
    return an_event(
        number,
        "purchase",
        email=f"person{person}@example.com",
        occurred_at=minutes(at),
        data={"value": amount, **data},
    )


def places(database: Database) -> list[Any]:
    return rows(
        database,
        "SELECT s.current_node_id, s.workflow_status FROM campaign_workflow_states s "
        "JOIN campaign_enrollments e ON e.id = s.id ORDER BY length(e.contact_email), "
        "e.contact_email, e.started_at, e.entry_key",
    )


def test_events_that_match_and_no_others_resume_a_wait(database):
    people_inside(database, behind_a_mail({"event_type": "purchase", "where": LARGE}), 4)
    events = [purchase(n, 99 + n, person=n) for n in range(1, 5)]
    assert ingest(database, events).resumed == 3
    run_until_idle(database, NOW + timedelta(hours=2))
    assert places(database) == [("w", "waiting"), *[("yes", "completed")] * 3]
    assert ingest(database, [purchase(9, 500)]).resumed == 1


def test_a_wait_that_begins_after_the_event_looks_back_with_the_same_eyes(database):
    late = graph(
        trigger("m1"),
        email("m1", default="h"),
        wait_hours("h", 1, default="w"),
        waits("w", {"event_type": "purchase", "where": LARGE}, event="yes", timeout="no"),
        end("yes"),
        end("no"),
    )
    people_inside(database, late, 2)
    ingest(database, [purchase(1, 100), purchase(2, 101, person=2)])
    run_until_idle(database, NOW + timedelta(hours=2))
    assert places(database) == [("w", "waiting"), ("yes", "completed")]


def test_a_paused_enrollment_is_resumed_at_its_next_start(database):
    people_inside(database, behind_a_mail({"event_type": "purchase", "where": LARGE}), 1)
    with database.transaction() as connection:
        connection.execute("UPDATE campaign_workflow_states SET workflow_status = 'paused'")
    assert ingest(database, [purchase(1, 101)]).resumed == 1
    assert rows(database, "SELECT workflow_status, resume_port FROM campaign_workflow_states") == [
        ("paused", "event")
    ]


SEVERAL = {
    "events": [
        {"id": "large", "event_type": "purchase", "where": LARGE},
        {"id": "small", "event_type": "purchase"},
        {"id": "clicked", "event_type": "email_clicked"},
    ]
}


def test_several_events_have_outgoing_ports_of_their_own(database):
    flow = behind_a_mail(SEVERAL, large="a", small="b", clicked="c")
    people_inside(database, flow, 4)
    messages = [
        m
        for (m,) in rows(
            database,
            "SELECT o.message_id FROM campaign_message_outcomes o JOIN contacts k "
            "ON k.id = o.contact_id ORDER BY k.email",
        )
    ]
    events = [
        purchase(1, 101, person=1),
        purchase(2, 1, person=2),
        an_event(3, "email_clicked", message_id=messages[2]),
    ]
    assert ingest(database, events).resumed == 3
    run_until_idle(database, NOW + timedelta(hours=2))
    assert [place for place, _ in places(database)] == ["a", "b", "c", "w"]
    run_until_idle(database, NOW + 3 * DAY)
    assert places(database)[3] == ("no", "completed")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("together", [True, False])
def test_of_several_events_the_first_by_time_decides(database, order, together):
    flow = behind_a_mail(SEVERAL, large="a", small="b", clicked="c")
    people_inside(database, flow, 1)
    events = [purchase(1, 101, at=5), purchase(2, 1, at=9)]
    if together:
        assert ingest(database, [events[n] for n in order]).resumed == 1
        run_until_idle(database, NOW + timedelta(hours=2))
        assert places(database) == [("a", "completed")]
    else:  # the one that arrives first has resumed the wait
        assert [ingest(database, [events[n]]).resumed for n in order] == [1, 0]


def test_a_count_is_reached_across_files(database):
    keys = {"event_type": "purchase", "where": LARGE, "count": {"value": 3}}
    people_inside(database, behind_a_mail(keys), 1)
    assert ingest(database, [purchase(1, 101), purchase(2, 99), purchase(3, 102)]).resumed == 0
    assert ingest(database, [purchase(3, 102)]).resumed == 0  # a repetition is no event
    assert ingest(database, [purchase(4, 103)]).resumed == 1


def test_a_purchase_before_the_mail_does_not_count(database):
    people_inside(database, behind_a_mail({"event_type": "purchase", "where": LARGE}), 1)
    assert ingest(database, [purchase(1, 101, at=-5)]).resumed == 0
    assert ingest(database, [purchase(2, 101, at=-1)]).resumed == 1  # clocks differ


def test_a_click_on_one_link(database):
    link = "https://example.com/pricing"
    people_inside(database, behind_a_mail({"event_type": "email_clicked", "url": link}), 1)
    message = value(database, "SELECT message_id FROM campaign_message_outcomes")
    click = {"message_id": message}
    other = an_event(1, "email_clicked", **click, url="https://example.com/legal")
    assert ingest(database, [other]).resumed == 0
    right = an_event(2, "email_clicked", **click, url=f"{link}?utm_source=drip")
    assert ingest(database, [right]).resumed == 1


@pytest.mark.parametrize("machines", [False, True])
def test_machines_end_a_wait_only_if_it_asks_for_them(database, machines):
    keys = {"event_type": "email_opened", "machines": machines, "count": {"value": 1}}
    people_inside(database, behind_a_mail(keys), 1)
    message = value(database, "SELECT message_id FROM campaign_message_outcomes")
    opened = an_event(1, "email_opened", message_id=message, data={"machine": True})
    assert ingest(database, [opened]).resumed == int(machines)


@pytest.mark.parametrize(
    ("of", "resumed"),
    [
        (None, [0, 1, 0]),
        ("last_message", [0, 1, 0]),
        ({"node": "m1"}, [1, 0, 0]),
        ("run", [1, 0, 0]),
        ("any", [1, 0, 0]),
    ],
)
def test_of_says_which_message_ends_a_wait(database, of, resumed):
    flow = graph(
        trigger("m1"),
        email("m1", default="m2"),
        email("m2", default="w"),
        waits(
            "w",
            {"event_type": "email_opened", "count": {"value": 1}} | ({"of": of} if of else {}),
            event="yes",
            timeout="no",
        ),
        end("yes"),
        end("no"),
    )
    people_inside(database, flow, 1)
    ids = dict(rows(database, "SELECT node_id, message_id FROM campaign_message_outcomes"))
    opens = [
        an_event(n, "email_opened", message_id=ids[name])
        for n, name in enumerate(("m1", "m2", "m1"))
    ]
    assert [ingest(database, [event]).resumed for event in opens] == resumed


@pytest.mark.parametrize(("of", "resumed"), [("any", 1), ("run", 0)])
def test_an_event_of_another_run_counts_only_with_any(database, of, resumed):
    keys = {"event_type": "email_opened", "of": of}
    people_inside(database, behind_a_mail(keys), 1)
    with database.transaction() as connection:
        other = a_published_campaign(
            connection, graph(trigger("x"), email("x", default="end"), end()), name="Other"
        )
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, "
            "workspace_id, started_at) SELECT %s, id, email, workspace_id, %s FROM contacts",
            [other.campaign_id, NOW],
        )
    run_until_idle(database)
    message = value(
        database, "SELECT message_id FROM campaign_message_outcomes WHERE node_id = 'x'"
    )
    opened = an_event(1, "email_opened", message_id=message)
    assert ingest(database, [opened]).resumed == resumed
    if not resumed:
        return
    # Looking back finds it, too.
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_workflow_states SET current_node_id = 'w', resume_port = NULL "
            "WHERE current_node_id = 'w'"
        )
    run_until_idle(database, NOW + timedelta(hours=2))
    assert ("yes", "completed") in places(database)


def enter_orders(database: Database, flow: CampaignGraph, *orders: str) -> None:
    """Enroll one person once per order."""
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow)
        [person] = contacts(connection, campaign.workspace_id, 1)
        target = find_campaign(connection, campaign.campaign_id)
        terms = lock_entry_terms(connection, target)
        for order in orders:
            entry = RunEntry(person, order, {"order_id": order})
            admit(connection, target, terms, [entry], spread_minutes=0, now=NOW)
    run_until_idle(database)


def test_a_shipment_resumes_the_run_of_its_order_only(database):
    flow = graph(
        node("start", "trigger", TriggerConfig(re_entry="per_key"), default="w"),
        waits(
            "w",
            {"event_type": "purchase", "match": {"order_id": "entry.order_id"}},
            event="yes",
            timeout="no",
        ),
        end("yes"),
        end("no"),
    )
    enter_orders(database, flow, "A-1", "A-2")
    assert places(database) == [("w", "waiting")] * 2
    assert ingest(database, [purchase(1, 1, order_id="A-9")]).resumed == 0
    assert ingest(database, [purchase(2, 1, order_id="A-2")]).resumed == 1
    run_until_idle(database, NOW + timedelta(hours=2))
    assert places(database) == [("w", "waiting"), ("yes", "completed")]


CONDITIONS: list[tuple[dict[str, Any], list[float], bool]] = [
    ({"where": LARGE}, [101], True),
    ({"where": LARGE}, [99], False),
    ({"count": {"value": 2}}, [1, 2], True),
    ({"count": {"value": 2}}, [1], False),
    ({"count": {"operator": "==", "value": 0}}, [], True),
    ({"count": {"operator": "<", "value": 2}, "where": LARGE}, [101, 1, 2], True),
    ({"where": LARGE, "operator": "!="}, [99], True),
]


@pytest.mark.parametrize(("keys", "amounts", "holds"), CONDITIONS)
def test_a_condition_reads_the_events_of_the_run(database, keys, amounts, holds):
    flow = graph(
        trigger("h"),
        wait_hours("h", 24, default="c"),
        asks("c", {"type": "event", "event_type": "purchase", **keys}, yes="yes", else_="no"),
        end("yes"),
        end("no"),
    )
    people_inside(database, flow, 1)
    ingest(database, [purchase(n, amount) for n, amount in enumerate(amounts)])
    run_until_idle(database, NOW + DAY)
    assert places(database) == [("yes" if holds else "no", "completed")]


@pytest.mark.parametrize(
    ("keys", "holds"), [({}, False), ({"of": "any"}, True), ({"time_window": 720}, True)]
)
def test_a_condition_counts_events_of_the_contact_since_the_run_began(database, keys, holds):
    flow = graph(
        trigger("h"),
        wait_hours("h", 24, default="c"),
        asks("c", {"type": "event", "event_type": "purchase", **keys}, yes="yes", else_="no"),
        end("yes"),
        end("no"),
    )
    people_inside(database, flow, 1)
    ingest(database, [purchase(1, 1, at=-60)])
    run_until_idle(database, NOW + DAY)
    assert places(database) == [("yes" if holds else "no", "completed")]


TWO_MAILS = graph(
    trigger("m1"),
    email("m1", default="h"),
    wait_hours("h", 1, default="m2"),
    email("m2", default="w"),
    waits("w", {"event_type": "email_opened", "count": {"value": 1}}, event="c", timeout="c"),
    asks("c", {**OPENED, "count": {"value": 1}}, yes="yes", else_="d"),
    asks("d", OPENED, yes="contradiction", else_="no"),
    end("yes"),
    end("no"),
    end("contradiction"),
)


OPENS = st.lists(
    # The message, when it was opened by its clock, and when the event arrives (in minutes).
    st.tuples(st.sampled_from(["m1", "m2"]), st.integers(-30, 300), st.sampled_from([61, 90, 400])),
    max_size=4,
)


@settings(max_examples=5, deadline=None)
@given(opens_of=st.lists(OPENS, min_size=8, max_size=8))
def test_an_open_of_the_first_mail_never_counts_for_the_second(server_url, template, opens_of):
    with own_database(server_url, template) as database:
        people_inside(database, TWO_MAILS, len(opens_of))
        run_until_idle(database, NOW + timedelta(hours=1))
        ids = {
            (person, node_id): message_id
            for person, node_id, message_id in rows(
                database,
                "SELECT k.email, o.node_id, o.message_id FROM campaign_message_outcomes o "
                "JOIN contacts k ON k.id = o.contact_id",
            )
        }
        for arrives in (61, 90, 400):
            events = [
                an_event(
                    f"{person}-{number}",
                    "email_opened",
                    message_id=ids[f"person{person}@example.com", name],
                    occurred_at=minutes(at),
                )
                for person, opens in enumerate(opens_of, 1)
                for number, (name, at, at_last) in enumerate(opens)
                if at_last == arrives
            ]
            now = NOW + timedelta(minutes=arrives)
            ingest(database, events, now=now)
            run_until_idle(database, now)
        run_until_idle(database, NOW + 3 * DAY)
        is_opened = [any(name == "m2" for name, _, _ in opens) for opens in opens_of]
        expected = [("yes" if opened else "no", "completed") for opened in is_opened]
        assert places(database) == expected


def test_a_restarted_wait_looks_back_with_the_new_matcher(database):
    def version(amount: float) -> dict[str, Any]:
        where = {"type": "field", "field": "value", "operator": ">", "value": amount}
        mail = {"email": {"subject": "Hello", "body": "Hi {{ unsubscribe_url }}"}}
        return {
            "name": "Orders",
            "workspace": "Acme",
            "steps": [
                {"node_id": "m1", "node_type": "email", "channel_config": mail},
                {
                    "node_id": "w",
                    "node_type": "wait",
                    "wait_config": {
                        "type": "until_event",
                        "event_type": "purchase",
                        "where": where,
                        "max_wait": {"value": 9, "unit": "days"},
                    },
                },
                {"node_id": "m2", "node_type": "email", "channel_config": mail},
            ],
        }

    with database.transaction() as connection:
        workspace = a_workspace(connection)
        people = contacts(connection, workspace, 2)
    publish(database, version(500), PublishOptions(NOW, Settings()))
    with database.transaction() as connection:
        campaign = find_campaign(connection, "Orders")
        terms = lock_entry_terms(connection, campaign)
        admit(connection, campaign, terms, [RunEntry(p) for p in people], spread_minutes=0, now=NOW)
    run_until_idle(database)
    assert ingest(database, [purchase(1, 100), purchase(2, 99, person=2)]).resumed == 0
    policy = InFlightPolicy("migrate")
    publish(database, version(99), PublishOptions(NOW + DAY, Settings(), in_flight=policy))
    run_until_idle(database, NOW + DAY)
    sent = "SELECT count(*) FROM campaign_message_outcomes WHERE node_id = 'm2'"
    assert value(database, sent) == 1
    assert ingest(database, [purchase(3, 99.5, person=2)], now=NOW + DAY).resumed == 1
