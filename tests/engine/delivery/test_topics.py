"""Topics at the eligibility check and at the entry of campaigns: what people left is not sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.topics import archive_topic
from drip_pipeline.engine.contacts.resubscribe import resubscribe
from drip_pipeline.engine.operations.invariants import check_invariants
from drip_pipeline.engine.operations.operator_consents import rejoin, suppress
from drip_pipeline.errors import DefinitionInvalid, NotAllowed
from tests.engine.delivery.topics import a_file, a_topic, entered, people, published
from tests.engine.events.incoming import rows, value
from tests.engine.factories import NOW, run_until_done, run_until_idle

LATER = NOW + timedelta(days=2)


def sent(database: Database) -> list[str]:
    return [row[0] for row in rows(database, "SELECT subject FROM recorded_messages ORDER BY 1")]


def actions(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT action, details ->> 'topic', reason FROM operator_actions"
        " WHERE object_kind = 'contact' ORDER BY occurred_at, id",
    )


def runs(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT c.name, s.workflow_status, s.exit_reason FROM campaign_workflow_states s"
        " JOIN drip_campaigns c ON c.id = s.campaign_id ORDER BY c.name",
    )


@pytest.fixture
def two_topics(database: Database) -> Database:
    for name in ("tips", "billing"):
        a_topic(database, name)
    published(database, a_file("Tips", "tips"), a_file("Billing", "billing"), a_file("All"))
    return database


def the_address(database: Database) -> str:
    return str(value(database, "SELECT email FROM contacts LIMIT 1"))


def test_leaving_one_topic_leaves_the_others_alone(two_topics: Database):
    people(two_topics)
    entered(two_topics, "Tips", "Billing", "All")
    run_until_idle(two_topics, NOW)
    assert len(sent(two_topics)) == 3
    left = suppress(two_topics, the_address(two_topics), topic="tips", reason="by phone", now=NOW)
    assert (left.suppressed, left.ended) == (1, 1)
    assert suppress(two_topics, the_address(two_topics), topic="tips", reason="again", now=NOW) == (
        left.__class__(1, 0, 0)
    )
    run_until_done(two_topics, LATER)
    assert sent(two_topics) == [
        "All first", "All second", "Billing first", "Billing second", "Tips first",
    ]  # fmt: skip
    assert runs(two_topics) == [
        ("All", "completed", None),
        ("Billing", "completed", None),
        ("Tips", "exited", "unsubscribed"),
    ]
    assert actions(two_topics) == [("suppress", "tips", "by phone")]
    assert all(not law.violations for law in check_invariants(two_topics, now=LATER))


def test_a_message_in_the_outbox_is_not_sent_after_the_topic_was_left(two_topics: Database):
    people(two_topics)
    entered(two_topics, "Tips")
    # As an application could: the run is still open, and only the eligibility check is left.
    with two_topics.transaction() as connection:
        connection.execute(
            "INSERT INTO topic_consents SELECT workspace_id, 'tips', email, id, 'unsubscribed',"
            " 'person', %s FROM contacts",
            [NOW],
        )
    run_until_done(two_topics, LATER)
    assert sent(two_topics) == []
    assert runs(two_topics) == [("Tips", "exited", "unsubscribed")]


def test_who_left_the_topic_cannot_enter_its_campaigns(two_topics: Database):
    people(two_topics, 2)
    suppress(two_topics, the_address(two_topics), topic="tips", reason="no", now=NOW)
    reports = entered(two_topics, "Tips", "Billing")
    assert (reports["Tips"].enrolled, reports["Tips"].refused) == (1, {"left_topic": 1})
    assert reports["Billing"].enrolled == 2


def test_joining_again_lifts_the_topic_and_nothing_else(two_topics: Database):
    people(two_topics)
    who = the_address(two_topics)
    entered(two_topics, "Tips")
    run_until_idle(two_topics, NOW)
    for topic in ("tips", "billing"):
        suppress(two_topics, who, topic=topic, reason="no", now=NOW)
    assert rejoin(two_topics, who, "tips", reason="asked again", now=LATER).lifted == 1
    assert rejoin(two_topics, who, "tips", reason="asked again", now=LATER).lifted == 0
    assert entered(two_topics, "Tips")["Tips"].refused == {}
    assert entered(two_topics, "Billing")["Billing"].refused == {"left_topic": 1}
    assert rows(
        two_topics,
        "SELECT event_type, event_data ->> 'topic', event_data ->> 'reason' FROM contact_events"
        " ORDER BY occurred_at, 2",
    ) == [
        ("topic_unsubscribed", "billing", "no"),
        ("topic_unsubscribed", "tips", "no"),
        ("topic_subscribed", "tips", "asked again"),
    ]
    assert actions(two_topics)[-1] == ("resubscribe", "tips", "asked again")


def test_a_no_by_an_operator_is_about_the_address_and_one_by_the_person_is_not(
    two_topics: Database,
):
    people(two_topics, 2)
    first, second = rows(two_topics, "SELECT id, email FROM contacts ORDER BY id")
    suppress(two_topics, first[1], topic="tips", reason="no", now=NOW)
    with two_topics.transaction() as connection:
        connection.execute(
            "INSERT INTO topic_consents SELECT workspace_id, 'tips', email, id, 'unsubscribed',"
            " 'person', %s FROM contacts WHERE id = %s",
            [NOW, second[0]],
        )
        connection.execute("UPDATE contacts SET email = 'new-' || email")
    assert entered(two_topics, "Tips")["Tips"].enrolled == 1
    with two_topics.transaction() as connection:
        connection.execute("UPDATE contacts SET email = %s WHERE id = %s", [second[1], first[0]])
    assert entered(two_topics, "Tips")["Tips"].refused == {"left_topic": 2}


def test_everything_of_a_channel_or_at_all_is_suppressed_with_a_reason(two_topics: Database):
    people(two_topics)
    who = the_address(two_topics)
    entered(two_topics, "Tips", "All")
    run_until_idle(two_topics, NOW)
    assert suppress(two_topics, who, channel="sms", reason="no", now=NOW).suppressed == 0
    result = suppress(two_topics, who, reason="asked by mail", now=NOW)
    assert (result.suppressed, result.ended) == (1, 2)
    assert rows(two_topics, "SELECT reason, note, source FROM campaign_suppressions") == [
        ("manual", "asked by mail", "operator")
    ]
    assert [status for _, status, _ in runs(two_topics)] == ["exited", "exited"]
    assert resubscribe(two_topics, who, reason="a mistake", now=NOW).lifted == 1
    run_until_done(two_topics, LATER)
    assert len(sent(two_topics)) == 2


@pytest.mark.parametrize(
    ("topic", "says"),
    [("tipps", 'did you mean "tips"?'), ("zzz", "`drip topics add zzz` adds it")],
)
def test_an_unknown_topic_is_refused_with_a_hint(two_topics: Database, topic: str, says: str):
    with pytest.raises(DefinitionInvalid) as error:
        published(two_topics, a_file("New", topic))
    assert says in str(error.value)
    with pytest.raises(NotAllowed):
        suppress(two_topics, "a@example.com", topic=topic, reason="no", now=NOW)


def test_an_archived_topic_is_for_no_new_campaign_and_stays_in_force(two_topics: Database):
    people(two_topics)
    suppress(two_topics, the_address(two_topics), topic="tips", reason="no", now=NOW)
    assert archive_topic(two_topics, None, "tips", now=NOW).is_changed
    assert not archive_topic(two_topics, None, "tips", now=NOW).is_changed
    with pytest.raises(DefinitionInvalid, match="archived"):
        published(two_topics, a_file("New", "tips"))
    assert entered(two_topics, "Tips")["Tips"].refused == {"left_topic": 1}


def test_without_topics_no_statement_reads_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    of_topics = {
        name for name, query in queries.all_queries().items() if "topics.sql" in query.file
    }
    run: list[str] = []
    text_of = queries.sql

    def noted(name: str) -> str:
        run.append(name)
        return text_of(name)

    a_topic(database, "tips")
    published(database, a_file("All"), a_file("Tips", "tips"))
    people(database)
    monkeypatch.setattr(queries, "sql", noted)
    entered(database, "All")
    run_until_idle(database, NOW)
    assert sent(database) == ["All first"]
    assert "lease_deliveries" in run
    assert of_topics.isdisjoint(run)
    entered(database, "Tips")
    run_until_idle(database, NOW)
    assert of_topics & set(run) == {"contacts_outside_topic", "topic_refusals"}
