"""Whatever people and operators decide, in whatever order, and whenever messages are sent and
events arrive: a message goes only to those whose latest decisions allow it.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.contacts.resubscribe import resubscribe
from drip_pipeline.engine.events.drain_inbox import drain_inbox
from drip_pipeline.engine.events.preferences import choose_topics, leave, subscribe_again
from drip_pipeline.engine.events.unsubscribe import unsubscribe
from drip_pipeline.engine.operations.operator_consents import rejoin, suppress
from tests.engine.delivery.topics import a_file, a_topic, entered, people, published
from tests.engine.events.incoming import rows, value
from tests.engine.factories import NOW, run_until_idle

TOPICS = ("tips", "billing")
STEPS = st.sampled_from(
    [
        "one_click tips", "one_click billing", "one_click none", "all", "again", "choose none",
        "choose tips", "choose billing", "choose both", "no tips", "no billing", "no all",
        "join tips", "join billing", "join all", "drain", "send", "send",
    ]
)  # fmt: skip


class Decided:
    """What one person gets, computed step by step."""

    def __init__(self) -> None:
        self.left = dict.fromkeys(TOPICS, "")  # by whom
        self.all_left = ""
        self.operator_left = False

    def gets(self, topic: str | None) -> bool:
        return not (self.all_left or self.operator_left or (topic and self.left[topic]))

    def choose(self, chosen: set[str]) -> None:
        for topic in TOPICS:
            if self.left[topic] != "operator":
                self.left[topic] = "" if topic in chosen else "person"


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=4, max_size=16))
def test_nobody_who_said_no_gets_a_message(database: Database, steps: list[str]) -> None:
    with database.transaction() as connection:
        connection.execute("TRUNCATE workspaces CASCADE")
        connection.execute(
            "TRUNCATE campaign_suppressions, topic_consents, event_inbox, recorded_messages,"
            " contact_events, campaign_events, ingested_event_keys"
        )
    for topic in TOPICS:
        a_topic(database, topic)
    names = {"tips": "Tips", "billing": "Billing", None: "All"}
    published(
        database,
        *(a_file(name, topic, re_entry={"after_days": 0}) for topic, name in names.items()),
    )
    people(database)
    email = str(value(database, "SELECT email FROM contacts"))
    entered(database, *names.values())
    run_until_idle(database, NOW)
    message = {
        subject.split()[0].lower(): delivery
        for subject, delivery in rows(
            database, "SELECT subject, delivery_id FROM recorded_messages"
        )
    }
    message["none"] = message["all"]
    decided, now = Decided(), NOW
    for step in steps:
        now += timedelta(minutes=1)
        verb, _, what = step.partition(" ")
        if verb == "one_click":
            leave(database, message[what], now=now)
            if what == "none":
                decided.all_left = decided.all_left or "person"
            elif decided.left[what] != "operator":
                decided.left[what] = "person"
        elif verb == "all":
            unsubscribe(database, message["all"], now=now)
            decided.all_left = "person"
        elif verb == "again":
            subscribe_again(database, message["all"], now=now)
            decided.all_left = ""
        elif verb == "choose":
            chosen = {"none": set(), "both": set(TOPICS)}.get(what, {what})
            choose_topics(database, message["all"], chosen, now=now)
            decided.choose(chosen)
        elif verb == "no" and what == "all":
            suppress(database, email, reason="no", now=now)
            decided.operator_left = True
        elif verb == "no":
            suppress(database, email, topic=what, reason="no", now=now)
            decided.left[what] = decided.left[what] or "operator"
        elif verb == "join" and what == "all":
            resubscribe(database, email, reason="yes", now=now)
            decided.all_left, decided.operator_left = "", False
        elif verb == "join":
            rejoin(database, email, what, reason="yes", now=now)
            decided.left[what] = ""
        elif verb == "drain":
            assert drain_inbox(database, now=now).rejected == 0
        else:
            before = rows(database, "SELECT delivery_id FROM recorded_messages")
            entered(database, *names.values())
            run_until_idle(database, now + timedelta(days=2))
            sent = rows(
                database,
                "SELECT DISTINCT split_part(subject, ' ', 1) FROM recorded_messages"
                " WHERE delivery_id <> ALL (%s)",
                [row[0] for row in before],
            )
            allowed = {name for topic, name in names.items() if decided.gets(topic)}
            assert {row[0] for row in sent} <= allowed, (steps, step)
