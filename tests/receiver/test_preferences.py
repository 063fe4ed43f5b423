"""The preference page, one-click unsubscribing of a topic, and the link that confirms a topic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.domain.templates.signed_tokens import Purpose, SignedLink, sign
from drip_pipeline.engine.campaigns.topics import archive_topic
from drip_pipeline.engine.enrollment.entry_triggers import run_entry_triggers
from drip_pipeline.engine.events.drain_inbox import drain_inbox
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.operations.operator_consents import rejoin, suppress
from drip_pipeline.engine.publishing.topic_confirmation import ensure_confirmation
from drip_pipeline.settings import Settings
from tests.engine.delivery.topics import a_file, a_topic, entered, people, published
from tests.engine.events.incoming import LATER, rows, value
from tests.engine.factories import NOW, run_until_done, run_until_idle
from tests.receiver.running import KEY, Receiver, a_receiver

ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def receiver(database: Database) -> Iterator[Receiver]:
    with a_receiver(database) as running:
        yield running


@pytest.fixture
def mailed(database: Database) -> Database:
    """One person, in the middle of a campaign of each topic and of one without."""
    for name in ("tips", "billing"):
        a_topic(database, name, title=name.title())
    published(database, a_file("Tips", "tips"), a_file("Billing", "billing"), a_file("All"))
    people(database)
    entered(database, "Tips", "Billing", "All")
    run_until_idle(database, NOW)
    return database


def link(database: Database, subject: str, purpose: Purpose = Purpose.UNSUBSCRIBE) -> str:
    delivery = value(
        database, "SELECT delivery_id FROM recorded_messages WHERE subject = %s", subject
    )
    return path(delivery, purpose)


def path(delivery: UUID, purpose: Purpose = Purpose.UNSUBSCRIBE) -> str:
    letter = {Purpose.UNSUBSCRIBE: "u", Purpose.CONFIRM: "t"}[purpose]
    return f"/{letter}/{sign(KEY, purpose, SignedLink(delivery))}"


def press(receiver: Receiver, where: str, action: str, *topics: str) -> str:
    receiver.clock.now += timedelta(seconds=1)
    body = urlencode([("action", action), *(("topic", topic) for topic in topics)])
    answer = receiver.post(where, body.encode(), FORM)
    assert answer.status == 200
    return answer.text


def ticked(page: str) -> dict[str, bool]:
    boxes = re.findall(r'name="topic" id="\w+" value="([\w-]+)"([^>]*)>', page)
    return {name: "checked" in attributes for name, attributes in boxes}


def drained(database: Database, at: Any = LATER) -> None:
    assert drain_inbox(database, now=at + timedelta(minutes=1)).rejected == 0


def subjects(database: Database) -> list[str]:
    return [row[0] for row in rows(database, "SELECT subject FROM recorded_messages ORDER BY 1")]


def exits(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT c.name, s.exit_reason FROM campaign_workflow_states s JOIN drip_campaigns c"
        " ON c.id = s.campaign_id WHERE s.workflow_status = 'exited' ORDER BY 1",
    )


@pytest.mark.parametrize("body", [ONE_CLICK, b"", b"\xff\x00 no form"])
def test_one_click_leaves_the_topic_of_the_campaign(mailed, receiver, body):
    assert receiver.post(link(mailed, "Tips first"), body, FORM).status == 200
    assert rows(mailed, "SELECT topic, status, decided_by FROM topic_consents") == [
        ("tips", "unsubscribed", "person")
    ]
    assert value(mailed, "SELECT count(*) FROM campaign_suppressions") == 0
    drained(mailed)
    assert exits(mailed) == [("Tips", "unsubscribed")]
    run_until_done(mailed, LATER)
    assert subjects(mailed) == [
        "All first", "All second", "Billing first", "Billing second", "Tips first",
    ]  # fmt: skip
    assert rows(
        mailed,
        "SELECT event_data ->> 'topic', event_data ->> 'by' FROM campaign_events"
        " WHERE event_type = 'topic_unsubscribed'",
    ) == [("tips", "one_click")]


def test_one_click_leaves_everything_where_the_campaign_has_no_topic(mailed, receiver):
    assert receiver.post(link(mailed, "All first"), ONE_CLICK, FORM).status == 200
    assert value(mailed, "SELECT count(*) FROM topic_consents") == 0
    assert rows(mailed, "SELECT channel, reason FROM campaign_suppressions") == [
        ("email", "unsubscribed")
    ]
    run_until_done(mailed, LATER + timedelta(days=2))
    assert len(subjects(mailed)) == 3


def test_leaving_a_topic_counts_as_unsubscribing_in_the_figures(mailed, receiver):
    receiver.post(link(mailed, "Tips first"), ONE_CLICK, FORM)
    drained(mailed)
    aggregate_days(mailed, [NOW.date()])
    assert rows(
        mailed,
        "SELECT c.name, sum(m.unsubscribed) FROM campaign_daily_metrics m"
        " JOIN drip_campaigns c ON c.id = m.campaign_id WHERE m.unsubscribed > 0 GROUP BY c.name",
    ) == [("Tips", 1)]
    assert not [law for law in check_invariants(mailed, now=LATER) if law.violations]


def test_topics_are_left_and_joined_on_the_page(mailed, receiver):
    where = link(mailed, "Tips first")
    page = receiver.get(where)
    assert ticked(page.text) == {"tips": True, "billing": True}
    assert "person1@" not in page.text
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    saved = press(receiver, where, "save", "billing")
    assert "Your choice is saved" in saved
    assert ticked(saved) == {"tips": False, "billing": True}
    assert ticked(press(receiver, where, "save", "billing")) == ticked(receiver.get(where).text)
    assert ticked(press(receiver, where, "save", "tips")) == {"tips": True, "billing": False}
    drained(mailed)
    # The run of tips had not been ended yet when the person came back.
    assert exits(mailed) == [("Billing", "unsubscribed")]
    history = rows(
        mailed,
        "SELECT event_type, event_data ->> 'topic' FROM campaign_events"
        " WHERE event_type LIKE 'topic%%' ORDER BY created_at, 2",
    )
    assert history == [
        ("topic_unsubscribed", "tips"),
        ("topic_unsubscribed", "billing"),
        ("topic_subscribed", "tips"),
    ]
    assert rows(
        mailed,
        "SELECT action, details ->> 'topic' FROM operator_actions"
        " WHERE actor = 'receiver:preferences' ORDER BY occurred_at, 2",
    ) == [("suppress", "tips"), ("suppress", "billing"), ("resubscribe", "tips")]


def test_everything_is_left_and_the_person_comes_back(mailed, receiver):
    where = link(mailed, "Tips first")
    press(receiver, where, "save", "tips")
    assert "You are unsubscribed" in press(receiver, where, "all")
    assert "You are unsubscribed" in receiver.get(where).text
    back = press(receiver, where, "again")
    assert "Welcome back" in back
    assert ticked(back) == {"tips": True, "billing": False}  # what was left by itself stays left
    drained(mailed)
    assert value(mailed, "SELECT count(*) FROM campaign_suppressions") == 0
    # And leaves again by the same link: events of what was taken back do not lift it.
    press(receiver, where, "all")
    drained(mailed)
    assert rows(mailed, "SELECT reason FROM campaign_suppressions") == [("unsubscribed",)]
    assert (
        value(
            mailed, "SELECT count(*) FROM campaign_events WHERE event_type = 'email_unsubscribed'"
        )
        == 2
    )


def test_what_arrives_late_does_not_lift_a_later_no(mailed, receiver):
    """The events of leaving and of coming back are drained after the person has left again."""
    where = link(mailed, "All first")
    for action in ("all", "again"):
        press(receiver, where, action)
    with mailed.transaction() as connection:  # the third one arrives alone, later
        press(receiver, where, "all")
        connection.execute(
            "UPDATE event_inbox SET due_at = %s WHERE id = (SELECT max(id) FROM event_inbox)",
            [LATER + timedelta(hours=1)],
        )
    drained(mailed)
    assert rows(mailed, "SELECT reason FROM campaign_suppressions") == [("unsubscribed",)]
    drained(mailed, LATER + timedelta(hours=1))
    assert rows(mailed, "SELECT reason FROM campaign_suppressions") == [("unsubscribed",)]


def test_what_an_operator_turned_off_is_shown_and_stays_off(mailed, receiver):
    email = value(mailed, "SELECT email FROM contacts")
    suppress(mailed, email, topic="tips", reason="no", now=NOW)
    where = link(mailed, "Billing first")
    assert "Turned off by the sender" in receiver.get(where).text
    assert ticked(press(receiver, where, "save", "tips", "billing"))["tips"] is False
    suppress(mailed, email, reason="no", now=NOW)
    assert "You are still unsubscribed" in press(receiver, where, "again")


def test_an_archived_topic_is_shown_to_those_whose_message_has_it(mailed, receiver):
    archive_topic(mailed, None, "tips", now=NOW)
    assert ticked(receiver.get(link(mailed, "Billing first")).text) == {"billing": True}
    assert ticked(receiver.get(link(mailed, "Tips first")).text) == {"billing": True, "tips": True}


def test_titles_are_shown_as_written(database, receiver):
    a_topic(database, "tips", title='<b>"Tips" & more', description="<i>weekly</i>")
    published(database, a_file("Tips", "tips"))
    people(database)
    entered(database, "Tips")
    run_until_idle(database, NOW)
    page = receiver.get(link(database, "Tips first")).text
    assert "&lt;b&gt;&quot;Tips&quot; &amp; more" in page
    assert "<i>weekly" not in page


# --- confirmation ---------------------------------------------------------------------------------


@pytest.fixture
def asked(database: Database) -> Database:
    """One person, in a campaign of a topic that needs a confirmation, and one without."""
    a_topic(database, "tips", title="Tips", double_opt_in=True)
    a_topic(database, "billing")
    published(database, a_file("Tips", "tips"), a_file("Billing", "billing"))
    people(database)
    entered(database, "Tips", "Billing")
    return database


def worked(database: Database, at: Any = NOW) -> None:
    """Ticks with entry triggers, as the minute's run, until nothing is due."""
    for _ in range(3):
        run_until_idle(database, at)
        run_entry_triggers(database, now=at)
    run_until_idle(database, at)


def test_nothing_but_one_confirmation_goes_out_until_the_link_is_followed(asked, receiver):
    worked(asked)
    assert subjects(asked) == ["Billing first", "Please confirm: Tips"]
    body = value(asked, "SELECT body FROM recorded_messages WHERE subject LIKE 'Please%%'")
    where = link(asked, "Please confirm: Tips", Purpose.CONFIRM)
    assert f"https://mail.example.com{where}" in body
    worked(asked, LATER)
    assert subjects(asked) == ["Billing first", "Please confirm: Tips"]
    assert "Yes, I want them" in receiver.get(where).text  # programs follow links, too
    assert value(asked, "SELECT status FROM topic_consents") == "pending"
    for _ in range(2):
        assert "Thank you" in receiver.post(where).text
    drained(asked)
    worked(asked, LATER + timedelta(minutes=2))
    assert subjects(asked) == ["Billing first", "Please confirm: Tips", "Tips first"]
    run_until_done(asked, LATER + timedelta(days=3))
    assert subjects(asked).count("Please confirm: Tips") == 1
    assert "Tips second" in subjects(asked)
    assert rows(
        asked, "SELECT event_data ->> 'by' FROM campaign_events WHERE event_type LIKE 'topic%%'"
    ) == [("confirmation",)]
    assert not [law for law in check_invariants(asked, now=LATER) if law.violations]


def test_without_a_confirmation_messages_are_skipped_after_30_days(asked):
    worked(asked)
    worked(asked, NOW + timedelta(days=31))
    worked(asked, NOW + timedelta(days=33))
    assert subjects(asked) == ["Billing first", "Billing second", "Please confirm: Tips"]
    assert (
        rows(
            asked,
            "SELECT event_data ->> 'reason' FROM campaign_events"
            " WHERE event_type = 'message_skipped'",
        )
        == [("not_confirmed",)] * 2
    )


def test_who_left_is_asked_again_when_an_operator_lets_them_join(asked, receiver):
    worked(asked)
    email = value(asked, "SELECT email FROM contacts")
    first = link(asked, "Please confirm: Tips", Purpose.CONFIRM)
    suppress(asked, email, topic="tips", reason="no", now=NOW)
    assert "no longer valid" in receiver.post(first).text
    again = rejoin(asked, email, "tips", reason="asked again", now=NOW)
    assert (again.lifted, again.needs_confirmation) == (1, True)
    assert rejoin(asked, email, "tips", reason="asked again", now=NOW).lifted == 0
    worked(asked)
    assert subjects(asked).count("Please confirm: Tips") == 2
    assert value(asked, "SELECT status FROM topic_consents") == "pending"


def test_another_address_is_asked_by_itself(asked, receiver):
    worked(asked)
    receiver.post(link(asked, "Please confirm: Tips", Purpose.CONFIRM))
    with asked.transaction() as connection:
        connection.execute("UPDATE contacts SET email = 'new@example.com'")
    worked(asked, LATER)
    assert rows(asked, "SELECT address, status FROM topic_consents ORDER BY 2") == [
        ("new@example.com", "pending"),
        ("person1@example.com", "subscribed"),
    ]


def test_the_text_of_the_confirmation_belongs_to_the_workspace(asked):
    published(
        asked,
        {
            "name": "Topic confirmation",
            "kind": "transactional",
            "re_entry": {"per_key": "request"},
            "steps": [
                {
                    "node_id": "requested",
                    "node_type": "trigger",
                    "trigger_config": {"trigger": "event", "event_type": "topic_requested"},
                },
                {
                    "node_id": "confirm",
                    "node_type": "email",
                    "channel_config": {
                        "email": {
                            "subject": "Moin! {{ entry.title }}?",
                            "body": "{{ confirm_url }} {{ unsubscribe_url }}",
                        }
                    },
                },
            ],
        },
    )
    assert not ensure_confirmation(asked, None, settings=Settings(), now=NOW)
    worked(asked)
    assert subjects(asked) == ["Billing first", "Moin! Tips?"]


def test_a_forged_link_confirms_nothing(asked, receiver):
    worked(asked)
    where = link(asked, "Please confirm: Tips", Purpose.CONFIRM)
    forged = where[:-1] + ("A" if where[-1] != "A" else "B")
    unsubscribing = link(asked, "Please confirm: Tips").replace("/u/", "/t/")
    assert [receiver.post(each).status for each in (forged, unsubscribing)] == [400, 400]
    assert receiver.post(path(uuid4(), Purpose.CONFIRM)).status == 404
    assert receiver.post(link(asked, "Billing first", Purpose.CONFIRM)).status == 404
    assert value(asked, "SELECT status FROM topic_consents") == "pending"
