"""Conversions: an event of the contact is attributed to the last message before it, within the
goal's time, in any order of arrival.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import product
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.events import goals as goals_db
from drip_pipeline.domain.conditions.event_matcher import GoalEvent
from drip_pipeline.engine.delivery import settle
from drip_pipeline.engine.execution.advance import advance_batch
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import CHECKOUT, Settings
from tests.conftest import own_database
from tests.engine.events.incoming import LATER, ingest, minutes, rows, value
from tests.engine.factories import (
    NOW,
    Sent,
    a_published_campaign,
    a_running_test,
    a_workspace,
    an_event,
    contacts,
    enrolled,
    people_inside,
    run_until_idle,
    sent_messages,
)
from tests.engine.graphs import (
    add_tag,
    email,
    end,
    goal,
    graph,
    has_happened,
    split,
    trigger,
    wait_for,
    wait_hours,
)

BUY = goal("purchase", 48)
ONE = graph(trigger("mail"), email("mail", default="end"), end(), goal=BUY)
TWO = graph(
    trigger("first"),
    email("first", default="pause"),
    wait_hours("pause", 24, default="second"),
    email("second", default="end"),
    end(),
    goal=BUY,
)
DAY = 24 * 60


def purchase(number: int, after_minutes: float, value: float = 10, **owner: Any) -> dict[str, Any]:
    owner = owner or {"email": "person1@example.com"}
    data = {"value": value, "currency": "eur"}
    return an_event(number, "purchase", occurred_at=minutes(after_minutes), data=data, **owner)


def converted(database: Database) -> list[tuple[Any, ...]]:
    """Address, node, time and value of each converted message."""
    return rows(
        database,
        "SELECT k.email, o.node_id, o.first_converted_at, o.conversion_value "
        "FROM campaign_message_outcomes o JOIN contacts k ON k.id = o.contact_id "
        "WHERE o.first_converted_at IS NOT NULL ORDER BY 1, 2, o.sent_at",
    )


def two_emails(database: Database, count: int = 1) -> list[Sent]:
    campaign, _ = people_inside(database, TWO, count)
    run_until_idle(database, NOW + timedelta(days=1))
    with database.transaction() as connection:
        return sent_messages(connection, campaign)


def test_a_purchase_is_attributed_to_the_last_message_before_it(database):
    sent = two_emails(database)
    events = [purchase(1, 60, 5), purchase(2, DAY + 1, 7), purchase(3, DAY + 2, 8)]
    report = ingest(database, events, now=NOW + timedelta(days=2))
    assert (report.accepted, report.conversions) == (3, 3)
    assert converted(database) == [
        ("person1@example.com", "first", NOW + timedelta(minutes=60), Decimal(5)),
        ("person1@example.com", "second", NOW + timedelta(minutes=DAY + 1), Decimal(15)),
    ]
    assert rows(
        database,
        "SELECT message_id, event_source, event_data ->> 'value', event_data ->> 'currency', "
        "event_data ->> 'event_type' FROM campaign_events "
        "WHERE event_type = 'converted' ORDER BY created_at LIMIT 1",
    ) == [(sent[0].message_id, "system", "5.00", "EUR", "purchase")]
    again = ingest(database, events, now=NOW + timedelta(days=2))
    assert (again.duplicates, again.conversions) == (3, 0)


def test_events_outside_the_goals_time_or_of_other_types_do_not_convert(database):
    people_inside(database, ONE, 1)
    events = [
        purchase(1, -1),
        purchase(2, 48 * 60 + 1),
        an_event(3, "page_view", email="person1@example.com"),
        purchase(4, 5) | {"data": {"machine": True}},
        purchase(5, 5, email="nobody@example.com"),
    ]
    assert ingest(database, events, now=NOW + timedelta(days=3)).conversions == 0
    at_the_edges = [purchase(6, 0, 1), purchase(7, 48 * 60, 2)]
    assert ingest(database, at_the_edges, now=NOW + timedelta(days=3)).conversions == 2
    assert converted(database) == [("person1@example.com", "mail", NOW, Decimal(3))]


def test_each_campaign_counts_a_purchase_unless_the_purchase_names_one(database):
    one, _ = people_inside(database, ONE, 1)
    with database.transaction() as connection:
        person = connection.execute("SELECT id FROM contacts").fetchone()
        assert person is not None
        other = a_published_campaign(connection, TWO, name="Other")
        enrolled(connection, other, [person[0]])
        without = a_published_campaign(
            connection, graph(trigger("m"), email("m", default="end"), end()), name="No goal"
        )
        enrolled(connection, without, [person[0]])
    run_until_idle(database)
    named = {"email": "person1@example.com", "campaign": "Other"}
    with database.transaction() as connection:
        (message,) = sent_messages(connection, one)
    events = [
        purchase(1, 5, 1),
        purchase(2, 6, 20, **named),
        purchase(3, 7, 300, message_id=message.message_id),
    ]
    assert ingest(database, events).conversions == 4
    assert rows(
        database,
        "SELECT c.name, o.conversion_value FROM campaign_message_outcomes o "
        "JOIN drip_campaigns c ON c.id = o.campaign_id ORDER BY 1",
    ) == [("No goal", Decimal(0)), ("Other", Decimal(21)), ("Welcome", Decimal(301))]


def test_a_holdout_converts_without_a_message_and_others_by_their_message(database):
    flow = graph(
        trigger("split"),
        split("split", {"a": 50, "holdout": 50}, a="mail", holdout="end"),
        email("mail", default="end"),
        end(),
        goal=BUY,
    )
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow)
        a_running_test(connection, campaign, "split")
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 20))
    run_until_idle(database)
    events = [purchase(n, 5, n, email=f"person{n}@example.com") for n in range(1, 21)]
    assert ingest(database, events).conversions == 20
    found = rows(
        database,
        "SELECT a.is_holdout, e.message_id IS NULL, o.message_id IS NULL, "
        "bool_and(a.first_converted_at = %s), count(*), sum(a.conversion_value), "
        "sum(coalesce(o.conversion_value, a.conversion_value)) "
        "FROM campaign_split_assignments a "
        "JOIN campaign_events e ON e.enrollment_id = a.enrollment_id AND e.event_type = 'converted'"
        " LEFT JOIN campaign_message_outcomes o ON o.enrollment_id = a.enrollment_id "
        "GROUP BY 1, 2, 3 ORDER BY 1",
        NOW + timedelta(minutes=5),
    )
    assert [row[:4] for row in found] == [(False, False, False, True), (True, True, True, True)]
    assert sum(row[4] for row in found) == 20
    assert sum(row[5] for row in found) == sum(row[6] for row in found) == 210


def test_a_conversion_resumes_a_wait_for_it(database):
    flow = graph(
        trigger("mail"),
        email("mail", default="wait"),
        wait_for("wait", "converted", event="second", timeout="end"),
        email("second", default="end"),
        end(),
        goal=BUY,
    )
    people_inside(database, flow, 2)
    assert ingest(database, [purchase(1, 5)]).resumed == 1
    run_until_idle(database, LATER)
    assert value(database, "SELECT count(*) FROM recorded_messages") == 3


@pytest.mark.parametrize("event_type", ["purchase", "converted"])
def test_events_of_the_contact_satisfy_conditions(database, event_type):
    flow = graph(
        trigger("mail"),
        email("mail", default="pause"),
        wait_hours("pause", 1, default="asked"),
        has_happened("asked", event_type, yes="tag", else_="end"),
        add_tag("tag", "customer", default="end"),
        end(),
        goal=BUY,
    )
    people_inside(database, flow, 3)
    by_machine = purchase(2, 5, email="person2@example.com") | {"data": {"machine": True}}
    ingest(database, [purchase(1, 5), by_machine])
    run_until_idle(database, LATER)
    assert rows(database, "SELECT email FROM contacts WHERE tags = '{customer}'") == [
        ("person1@example.com",)
    ]


def test_a_purchase_that_arrives_before_its_message_is_attributed_to_it_and_ends_the_wait(
    database,
):
    flow = graph(
        trigger("mail"),
        email("mail", default="wait"),
        wait_for("wait", "converted", event="tag", timeout="end"),
        add_tag("tag", "customer", default="end"),
        end(),
        goal=BUY,
    )
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 1))
    advance_batch(database, now=NOW, batch_size=10)
    assert ingest(database, [purchase(1, 0, 9)]).conversions == 0
    run_until_idle(database)
    assert converted(database) == [("person1@example.com", "mail", NOW, Decimal(9))]
    assert value(database, "SELECT tags FROM contacts") == ["customer"]


def test_a_conversion_moves_to_a_later_message_that_is_written_afterwards(database):
    people_inside(database, TWO, 1)
    bought = purchase(1, DAY + 5, 9)
    assert ingest(database, [bought], now=NOW + timedelta(days=1)).conversions == 1
    first = converted(database)
    assert [row[1] for row in first] == ["first"]
    run_until_idle(database, NOW + timedelta(days=1))
    at = NOW + timedelta(minutes=DAY + 5)
    assert converted(database) == [("person1@example.com", "second", at, Decimal(9))]
    assert value(
        database, "SELECT count(*) FROM campaign_events WHERE event_type = 'converted'"
    ) == (1)
    marked = rows(database, "SELECT DISTINCT metric_date FROM stale_metric_days ORDER BY 1")
    assert [day for (day,) in marked] == [NOW.date(), (NOW + timedelta(days=1)).date()]


@pytest.mark.parametrize("first", ["message", "purchase"])
def test_a_message_and_a_purchase_written_concurrently_are_attributed(database, monkeypatch, first):
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, ONE)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 1))
    advance_batch(database, now=NOW, batch_size=10)
    buying = partial(ingest, database, [purchase(1, 0, 9)])
    sending = partial(run_until_idle, database)
    # The first has looked and found nothing, and has not committed when the second comes.
    module, name = (
        (settle, "attribute_late") if first == "message" else (goals_db, "add_conversions")
    )
    look = getattr(module, name)
    begin, second = (sending, buying) if first == "message" else (buying, sending)
    with ThreadPoolExecutor(1) as pool:
        started: list[Future[Any]] = []

        def look_and_let_the_other_come(*args: Any) -> Any:
            found = look(*args)
            if not started:
                started.append(pool.submit(second))
                assert not wait(started, timeout=0.5).done, "it did not wait for the lock"
            return found

        monkeypatch.setattr(module, name, look_and_let_the_other_come)
        begin()
        started[0].result(timeout=30)
    assert converted(database) == [("person1@example.com", "mail", NOW, Decimal(9))]


ARRIVALS = list(product(range(3), repeat=3))


def test_the_order_of_arrival_does_not_change_the_metrics(server_url, template):
    found = []
    for everything_last in (False, True):
        with own_database(server_url, template) as database:
            found.append(_metrics(database, everything_last=everything_last))
    assert found[0] == found[1]
    assert len(found[0][1]) == 3 * len(ARRIVALS)


def _metrics(database: Database, *, everything_last: bool) -> list[Any]:
    """Send two emails to each contact, with purchases that arrive before, between or after them, in
    every combination."""
    happened = (0.0, 5.0, DAY + 5.0)
    arriving: list[list[dict[str, Any]]] = [[], [], []]
    for person, stages in enumerate(ARRIVALS, start=1):
        for number, stage in enumerate(stages):
            whose = {"email": f"person{person}@example.com"}
            if number == 1:
                whose["campaign"] = "Welcome"
            bought = purchase(10 * person + number, happened[number], 10**number, **whose)
            arriving[2 if everything_last else stage].append(bought)
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, TWO)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, len(ARRIVALS)))
    for stage, sent_at in enumerate((NOW, NOW + timedelta(days=1), None)):
        advance_batch(database, now=sent_at or NOW, batch_size=100)
        ingest(database, arriving[stage], now=NOW + timedelta(days=2))
        if sent_at is not None:
            run_until_idle(database, sent_at)
    days = [NOW.date(), (NOW + timedelta(days=1)).date()]
    aggregate_days(database, days)
    names = ("outcomes_match_log", "metrics_match_outcomes", "rates", "sent_once")
    broken = [r.name for r in check_invariants(database, now=LATER, names=names) if not r.holds]
    assert broken == []
    return [
        converted(database),
        rows(
            database,
            "SELECT k.email, e.created_at, e.node_id, e.event_data ->> 'value', "
            "e.event_data ->> 'currency' FROM campaign_events e "
            "JOIN contacts k ON k.id = e.contact_id WHERE e.event_type = 'converted' "
            "ORDER BY 1, 2, 4",
        ),
        rows(
            database,
            "SELECT metric_date, node_id, sent, converted, conversion_value "
            "FROM campaign_daily_metrics ORDER BY 1, 2",
        ),
    ]


def test_publishing_keeps_the_goal_with_the_version(database):
    with database.transaction() as connection:
        a_workspace(connection)
    text = (CHECKOUT / "examples" / "winback.yaml").read_text(encoding="utf-8")
    publish(database, text, PublishOptions(now=NOW, settings=Settings()))
    assert rows(database, "SELECT goal_event_type, goal_within FROM campaign_versions") == [
        ("purchase", timedelta(days=14))
    ]


@pytest.mark.parametrize("at", [NOW - timedelta(hours=1), NOW + timedelta(hours=47)])
def test_a_version_keeps_its_goal(database, at: datetime):
    campaign, _ = people_inside(database, ONE, 1)
    with database.transaction() as connection:
        # A later version is for something else; who got a message of the first is still counted.
        connection.execute(
            "INSERT INTO campaign_versions (campaign_id, workspace_id, version, campaign_snapshot, "
            "steps_snapshot, goal_event_type, goal_within) "
            "VALUES (%s, %s, 2, '{}', '[]', 'page_view', interval '1 hour')",
            [campaign.campaign_id, campaign.workspace_id],
        )
    viewed = an_event(1, "page_view", email="person1@example.com")
    bought = purchase(2, (at - NOW).total_seconds() / 60)
    report = ingest(database, [viewed, bought], now=NOW + timedelta(days=3))
    assert report.conversions == (1 if at > NOW else 0)


LARGE = GoalEvent.model_validate(
    {
        "event_type": "purchase",
        "where": {"type": "field", "field": "value", "operator": ">=", "value": 50},
    }
)


@pytest.mark.parametrize("first", ["message", "purchase"])
def test_only_events_that_match_the_goal_convert(database, first):
    flow = graph(trigger("mail"), email("mail", default="end"), end(), goal=LARGE)
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow)
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 1))
    small, large = purchase(1, 1, 49), purchase(2, 2, 50)
    if first == "message":
        run_until_idle(database)
        assert ingest(database, [small, large]).conversions == 1
    else:
        at_once = [purchase(1, 0, 49), purchase(2, 0, 50)]
        advance_batch(database, now=NOW, batch_size=10)
        assert ingest(database, at_once).conversions == 0
        run_until_idle(database)
    at = NOW + timedelta(minutes=2 if first == "message" else 0)
    assert converted(database) == [("person1@example.com", "mail", at, Decimal(50))]
