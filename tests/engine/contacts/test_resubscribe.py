"""Subscribing again, by command and by event, and what a person can then enter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.contacts.resubscribe import resubscribe
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.errors import NotAllowed
from tests.engine.factories import NOW, a_published_campaign, contacts
from tests.engine.graphs import email, end, graph, trigger

LETTER = graph(trigger("hello"), email("hello", default="end"), end())
ADDRESS = "person1@example.com"


@pytest.fixture
def campaign(database: Database) -> Any:
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, LETTER)
        contacts(connection, campaign.workspace_id, 1)
    return campaign


def happened(database: Database, event_type: str, minutes: int, **data: Any) -> None:
    at = NOW + timedelta(minutes=minutes)
    event = {
        "event_id": f"{event_type}-{minutes}",
        "event_type": event_type,
        "occurred_at": at.isoformat(),
        "email": ADDRESS.upper(),
    }
    report = ingest_events(database, [event | data], source="test", now=NOW + timedelta(hours=1))
    assert report.accepted == 1, report


def suppressions(database: Database) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT channel, reason FROM campaign_suppressions ORDER BY channel NULLS FIRST"
        ).fetchall()


def entered(database: Database, campaign: Any) -> int:
    return enroll(database, campaign.campaign_id, Everybody(), now=NOW).enrolled


def suppress(database: Database, channel: str | None, reason: str) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, contact_id, address, channel, reason,"
            " created_at) SELECT workspace_id, id, email, %s, %s, %s FROM contacts",
            [channel, reason, NOW],
        )


def test_a_person_that_left_enters_again_after_subscribing_again(database, campaign):
    assert entered(database, campaign) == 1
    happened(database, "email_unsubscribed", 1)
    assert suppressions(database) == [("email", "unsubscribed")]
    assert entered(database, campaign) == 0
    happened(database, "email_resubscribed", 2)
    assert suppressions(database) == []
    assert entered(database, campaign) == 1
    assert entered(database, campaign) == 0  # once, as for everybody


def test_the_command_lets_a_person_enter_again(database, campaign):
    assert entered(database, campaign) == 1
    happened(database, "email_unsubscribed", 1)
    result = resubscribe(database, "PERSON1@example.com", reason="asked by phone", now=NOW)
    assert (result.contacts, result.lifted, result.reopened) == (1, 1, 1)
    assert entered(database, campaign) == 1
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT event_type, event_data ->> 'reason' FROM contact_events "
            "WHERE event_type = 'email_resubscribed'"
        ).fetchall()
    assert rows == [("email_resubscribed", "asked by phone")]


def test_a_later_no_holds_in_whatever_order_the_events_arrive(database, campaign):
    happened(database, "email_unsubscribed", 3)
    happened(database, "email_resubscribed", 2)
    assert suppressions(database) == [("email", "unsubscribed")]
    happened(database, "email_resubscribed", 4)
    assert suppressions(database) == []


@pytest.mark.parametrize("reason", ["bounced", "complained", "manual"])
def test_an_event_lifts_only_what_the_person_asked_for_and_the_command_all(
    database, campaign, reason: str
):
    suppress(database, "email", reason)
    happened(database, "email_resubscribed", 2)
    assert suppressions(database) == [("email", reason)]
    resubscribe(database, ADDRESS, reason="checked", now=NOW)
    assert suppressions(database) == []


def test_a_no_to_all_channels_stays_for_the_other_channel(database, campaign):
    suppress(database, None, "unsubscribed")
    happened(database, "email_resubscribed", 2)
    assert suppressions(database) == [("sms", "unsubscribed")]
    resubscribe(database, ADDRESS, channel="email", reason="asked", now=NOW)
    assert suppressions(database) == [("sms", "unsubscribed")]
    resubscribe(database, ADDRESS, channel="sms", reason="asked", now=NOW)
    assert suppressions(database) == []


def test_a_contact_can_be_named_by_id_and_an_unknown_one_is_an_error(database, campaign):
    suppress(database, None, "manual")
    with database.transaction() as connection:
        (row,) = connection.execute("SELECT id FROM contacts").fetchall()
    assert resubscribe(database, str(row[0]), reason="asked", now=NOW).lifted == 1
    with pytest.raises(NotAllowed, match="neither a contact nor a suppression"):
        resubscribe(database, "nobody@example.com", reason="asked", now=NOW)


def test_an_address_that_is_only_on_the_list_can_be_taken_off(database, campaign):
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at) "
            "SELECT id, 'ann@müller.example', 'manual', %s FROM workspaces",
            [NOW],
        )
    result = resubscribe(database, "Ann@xn--mller-kva.example", reason="asked", now=NOW)
    assert (result.contacts, result.lifted) == (0, 1)


def test_a_contact_whose_address_bounced_enters_again_under_a_corrected_one(database, campaign):
    assert entered(database, campaign) == 1
    happened(database, "email_bounced", 1, data={"bounce_type": "permanent"})
    assert suppressions(database) == [("email", "bounced")]
    assert entered(database, campaign) == 0
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET email = 'corrected@example.com'")
    assert entered(database, campaign) == 1


@pytest.mark.parametrize(("reason", "enrolled"), [("bounced", 1), ("unsubscribed", 0)])
def test_a_no_of_a_person_stays_when_the_address_changes_and_a_bounce_does_not(
    database, campaign, reason: str, enrolled: int
):
    suppress(database, "email", reason)
    with database.transaction() as connection:
        connection.execute("UPDATE contacts SET email = 'other@example.com'")
    assert entered(database, campaign) == enrolled


def test_contacts_of_one_address_are_one_recipient(database, campaign):
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO contacts (workspace_id, email, created_at) "
            "SELECT id, a.email, a.at FROM workspaces, (VALUES "
            "('Ann@müller.example', %s), ('ANN@MÜLLER.example', %s), "
            "('ann@xn--mller-kva.example', %s), ('bob@example.com', %s)) AS a (email, at)",
            [NOW, NOW + timedelta(days=1), NOW - timedelta(days=1), NOW],
        )
    report = enroll(database, campaign.campaign_id, Everybody(), now=NOW)
    assert (report.enrolled, report.refused) == (3, {"same_address": 2})
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT contact_email FROM campaign_enrollments ORDER BY contact_email"
        ).fetchall()
    assert ("ann@xn--mller-kva.example",) in rows
    # In chunks of one, the first one that is enrolled is the recipient.
    again = enroll(database, campaign.campaign_id, Everybody(), now=NOW, chunk_size=1)
    assert (again.enrolled, again.already_in, again.refused) == (0, 3, {"same_address": 2})
