"""Which events a wait or a condition behind a message counts: those of that message."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.events.vocabulary import EVENT_TYPES, MESSAGE_EVENT_CHANNELS
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import SmsAction
from drip_pipeline.engine.enrollment.audience import matching_contacts
from tests.engine.events.incoming import ingest, mailed, minutes, rows, value
from tests.engine.factories import NOW, an_event, people_inside, run_until_idle
from tests.engine.graphs import (
    email,
    end,
    graph,
    has_happened,
    node,
    trigger,
    wait_for,
    wait_hours,
)

DAY = timedelta(days=1)


def two_mails(*behind_the_second: Any, between: Any = None) -> CampaignGraph:
    return graph(
        trigger("m1"),
        email("m1", default="w1"),
        between or wait_for("w1", "email_clicked", event="m2", timeout="m2"),
        email("m2", default="asks"),
        *behind_the_second,
        end("yes"),
        end("no"),
    )


WAITS = two_mails(wait_for("asks", "email_clicked", event="yes", timeout="no"))
ASKS = two_mails(
    wait_hours("asks", 24, default="c"), has_happened("c", "email_clicked", yes="yes", else_="no")
)


def message_of(database: Database, node_id: str) -> Any:
    return value(
        database, "SELECT message_id FROM campaign_message_outcomes WHERE node_id = %s", node_id
    )


def click(number: int, message_id: Any, at: float) -> dict[str, Any]:
    return an_event(number, "email_clicked", message_id=message_id, occurred_at=minutes(at))


def place(database: Database) -> Any:
    return rows(database, "SELECT current_node_id, workflow_status FROM campaign_workflow_states")[
        0
    ]


def test_a_click_of_an_earlier_mail_does_not_end_the_wait_behind_a_later_one(database):
    people_inside(database, WAITS, 1)
    first = message_of(database, "m1")
    ingest(database, [click(1, first, 5)], now=NOW + timedelta(minutes=6))
    run_until_idle(database, NOW + timedelta(minutes=7))
    assert place(database) == ("asks", "waiting")
    # Another click of the first mail, after the second was sent: still another message.
    assert ingest(database, [click(2, first, 30)]).resumed == 0
    assert ingest(database, [click(3, message_of(database, "m2"), 40)]).resumed == 1
    run_until_idle(database, NOW + DAY)
    assert place(database) == ("yes", "completed")


def test_a_wait_without_a_click_of_its_mail_lasts_to_its_end(database):
    people_inside(database, WAITS, 1)
    ingest(database, [click(1, message_of(database, "m1"), 5)], now=NOW + timedelta(minutes=6))
    run_until_idle(database, NOW + timedelta(minutes=7))
    run_until_idle(database, NOW + timedelta(minutes=6, days=2))
    assert place(database) == ("asks", "waiting")
    run_until_idle(database, NOW + timedelta(minutes=8, days=2))
    assert place(database) == ("no", "completed")


def test_a_condition_behind_a_mail_asks_about_that_mail(database):
    people_inside(database, ASKS, 2)
    firsts = rows(database, "SELECT message_id FROM campaign_message_outcomes ORDER BY 1")
    ingest(database, [click(n, m, 5) for n, (m,) in enumerate(firsts)])
    run_until_idle(database, NOW + timedelta(hours=2))
    (second,) = rows(
        database,
        "SELECT message_id FROM campaign_message_outcomes WHERE node_id = 'm2' ORDER BY 1 LIMIT 1",
    )[0]
    # By its message, not by the clock of the provider, which is ten minutes behind here.
    ingest(database, [click(9, second, 110)], now=NOW + timedelta(hours=3))
    run_until_idle(database, NOW + timedelta(days=2))
    assert sorted(rows(database, "SELECT current_node_id FROM campaign_workflow_states")) == [
        ("no",),
        ("yes",),
    ]


def test_a_purchase_before_the_latest_mail_does_not_end_the_wait_behind_it(database):
    buyer = two_mails(
        wait_for("asks", "purchase", event="yes", timeout="no"),
        between=wait_hours("w1", 7 * 24, default="m2"),
    )
    people_inside(database, buyer, 1)
    bought = an_event(1, "purchase", email="person1@example.com", occurred_at=minutes(24 * 60))
    ingest(database, [bought], now=NOW + DAY)
    run_until_idle(database, NOW + 7 * DAY)
    assert place(database) == ("asks", "waiting")
    again = bought | {"event_id": "e-2", "occurred_at": (NOW + 8 * DAY).isoformat()}
    assert ingest(database, [again], now=NOW + 8 * DAY).resumed == 1


def test_of_two_mails_sent_in_one_tick_the_second_is_the_latest(database):
    in_one_tick = graph(
        trigger("z"),
        email("z", default="a"),
        email("a", default="asks"),
        wait_for("asks", "email_opened", event="yes", timeout="no"),
        end("yes"),
        end("no"),
    )
    people_inside(database, in_one_tick, 20)
    for resumed, name in ((0, "z"), (20, "a")):
        sent = rows(
            database, "SELECT message_id FROM campaign_message_outcomes WHERE node_id = %s", name
        )
        opens = [
            an_event(f"{name}{n}", "email_opened", message_id=m) for n, (m,) in enumerate(sent)
        ]
        assert ingest(database, opens).resumed == resumed


def test_a_text_message_after_the_mail_does_not_hide_the_clicks_of_the_mail(database):
    mixed = graph(
        trigger("m1"),
        email("m1", default="sms"),
        node("sms", "action", SmsAction(body="Hello"), default="asks"),
        wait_for("asks", "email_clicked", event="yes", timeout="no"),
        end("yes"),
        end("no"),
    )
    people_inside(database, mixed, 1)
    assert place(database)[0] == "asks"
    assert ingest(database, [click(1, message_of(database, "m1"), 5)]).resumed == 1


@pytest.mark.parametrize(("at", "resumed"), [(-5, 0), (5, 1)])
def test_a_reply_that_names_no_message_counts_since_the_latest_message(database, at, resumed):
    asks = graph(
        trigger("m1"),
        email("m1", default="asks"),
        wait_for("asks", "email_replied", event="yes", timeout="no"),
        end("yes"),
        end("no"),
    )
    people_inside(database, asks, 1)
    reply = an_event(1, "email_replied", email="person1@example.com", occurred_at=minutes(at))
    assert ingest(database, [reply]).resumed == resumed


@pytest.mark.parametrize("level", ["of a message", "of the contact"])
def test_an_open_of_a_machine_selects_nobody(database, level):
    _, sent = mailed(database, 2)
    opened = Condition.model_validate({"type": "event", "event_type": "email_opened"})
    names: list[dict[str, Any]] = [{"message_id": s.message_id} for s in sent]
    if level == "of the contact":
        names = [{"email": s.email} for s in sent]
    ingest(database, [an_event(1, "email_opened", **names[0], data={"machine": True})])
    ingest(database, [an_event(2, "email_opened", **names[1])])
    with database.transaction() as connection:
        ids = [s.contact_id for s in sent]
        found = matching_contacts(connection, ids, opened, NOW + DAY)
    assert found == [sent[1].contact_id]


def test_the_database_and_the_vocabulary_agree_which_types_belong_to_a_message(database):
    for name in EVENT_TYPES:
        assert value(database, "SELECT message_channel_of(%s)", name) == MESSAGE_EVENT_CHANNELS.get(
            name
        ), name
