"""Entry triggers: a contact that starts to match is enrolled once, whatever changed the data."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from drip_pipeline.engine.enrollment.entry_triggers import NewEnrollments, pending_entries
from tests.engine.enrollment.arrivals import (
    BY_TAG,
    change,
    entered_by,
    inside,
    look,
    look_until_open,
    set_up,
    tag,
    untag,
)
from tests.engine.factories import NOW, a_published_campaign, a_workspace, contacts, run_until_idle
from tests.engine.graphs import add_tag, end, graph, trigger

# The acceptance size is 50,000; the suite uses less. ENTRY_CONTACTS=50000
MANY = int(os.environ.get("ENTRY_CONTACTS", "3000"))


# --- tags and scores ------------------------------------------------------------------------------


def test_contacts_tagged_by_an_application_are_enrolled_once(database):
    campaign, contact_ids = set_up(database, BY_TAG, MANY)
    tag(database, contact_ids)
    assert pending_entries(database, NOW).campaigns == ["Welcome"]
    assert look(database) == {"enrolled": MANY}
    assert pending_entries(database, NOW).campaigns == []
    assert look(database) == {}
    # Changes for other reasons, and another tag, note nobody.
    change(database, "UPDATE contacts SET last_interaction = now(), tags = tags || '{b}'")
    assert look(database) == {}
    assert inside(database, campaign) == sorted(contact_ids)


def test_a_tick_without_dagster_enrolls_and_advances_contacts(database):
    campaign, contact_ids = set_up(database, BY_TAG, 5)
    tag(database, contact_ids)
    report = run_until_idle(database)
    (enrollments,) = report.new_enrollments
    assert enrollments == NewEnrollments(campaign.campaign_id, "Welcome", "tag", 5, 0, {}, 1)
    assert report.delivered["email"].sent == 5


def test_a_tag_set_by_one_campaign_enrolls_in_another_in_the_same_tick(database):
    _, contact_ids = set_up(database, BY_TAG, 3)
    tagger = graph(trigger("mark"), add_tag("mark", "vip", default="end"), end())
    with database.transaction() as connection:
        campaign = a_published_campaign(
            connection, entered_by(tagger, trigger="score", at_least=50), name="Scored"
        )
    change(database, "UPDATE contacts SET ai_score = 60")
    report = run_until_idle(database)
    assert [(new.kind, new.enrolled) for new in report.new_enrollments] == [
        ("score", 3),
        ("tag", 3),
    ]
    assert inside(database, campaign) == sorted(contact_ids)


def test_earlier_matches_are_enrolled_only_with_backfill(database):
    set_up(database, BY_TAG, 4, tags="{vip}")
    assert look(database) == {}


@pytest.mark.parametrize(
    "config",
    [{"trigger": "tag", "tag": "vip"}, {"trigger": "score", "at_least": 70}],
    ids=["tag", "score"],
)
def test_with_backfill_every_matching_contact_is_enrolled_once(database, config):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        contact_ids = contacts(connection, workspace, 9)
        connection.execute("UPDATE contacts SET tags = '{vip}', ai_score = 70")
        contacts(connection, workspace, 5, prefix="other")
        campaign = a_published_campaign(
            connection, entered_by(**config, backfill=True), workspace_id=workspace
        )
    assert pending_entries(database, NOW).campaigns == ["Welcome"]
    assert look_until_open(database, chunk_size=2) == {"enrolled": 9}
    assert inside(database, campaign) == sorted(contact_ids)
    assert look(database) == {}
    assert pending_entries(database, NOW).campaigns == []


def test_a_score_matches_when_it_reaches_the_threshold_and_not_while_it_stays_above(database):
    set_up(database, entered_by(trigger="score", at_least=50, re_entry="after_exit"), 3)
    change(database, "UPDATE contacts SET ai_score = 49")
    assert look(database) == {}
    change(database, "UPDATE contacts SET ai_score = 50")
    assert look(database) == {"enrolled": 3}
    run_until_idle(database)
    change(database, "UPDATE contacts SET ai_score = 90")
    assert look(database) == {}
    change(database, "UPDATE contacts SET ai_score = 10")
    change(database, "UPDATE contacts SET ai_score = 55")
    assert look(database) == {"enrolled": 3}


def test_new_contacts_with_the_tag_are_enrolled(database):
    campaign, _ = set_up(database, BY_TAG, 0)
    change(
        database,
        "INSERT INTO contacts (workspace_id, email, tags)"
        " VALUES (%s, 'new@example.com', '{a,vip}')",
        campaign.workspace_id,
    )  # fmt: skip
    assert look(database) == {"enrolled": 1}


@pytest.mark.parametrize(
    ("re_entry", "again"),
    [
        ("once", {"already_in": 2}),
        ("after_exit", {"enrolled": 2}),
        ({"after_days": 3}, {"too_soon": 2}),
        ("per_key", {"enrolled": 2}),
    ],
    ids=["once", "after_exit", "after_days", "per_key"],
)
def test_a_tag_removed_and_added_again_counts_again_with_re_entry(database, re_entry, again):
    _, contact_ids = set_up(database, entered_by(trigger="tag", tag="vip", re_entry=re_entry), 2)
    tag(database, contact_ids)
    run_until_idle(database)
    untag(database, contact_ids)
    tag(database, contact_ids)
    assert look(database) == again
    assert look(database) == {}


def test_a_tag_removed_before_the_check_enrolls_no_contact(database):
    _, contact_ids = set_up(database, BY_TAG, 3)
    tag(database, contact_ids)
    untag(database, contact_ids[:1])
    assert look(database) == {"enrolled": 2, "no_longer": 1}


def test_suppressed_contacts_are_refused_with_the_reason(database):
    campaign, contact_ids = set_up(database, BY_TAG, 3)
    change(
        database,
        "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at)"
        " VALUES (%s, 'person1@example.com', 'unsubscribed', now())",
        campaign.workspace_id,
    )  # fmt: skip
    change(database, "UPDATE contacts SET email = NULL WHERE email LIKE 'person2%%'")
    tag(database, contact_ids)
    assert look(database) == {"enrolled": 1, "suppressed": 1, "no_email": 1}


def test_contacts_of_another_workspace_are_not_enrolled(database):
    set_up(database, BY_TAG, 1)
    with database.transaction() as connection:
        others = contacts(connection, a_workspace(connection, "Other"), 2)
    tag(database, others)
    assert look(database) == {}


# --- whatever happens at the same time ------------------------------------------------------------


def test_a_transaction_that_commits_after_a_check_is_not_missed(database):
    _, contact_ids = set_up(database, BY_TAG, 4)
    with psycopg.connect(database.url) as late:
        late.execute("UPDATE contacts SET tags = '{vip}' WHERE id = ANY(%s)", [contact_ids[:2]])
        tag(database, contact_ids[2:])
        assert look(database) == {"enrolled": 2}
        late.commit()
    assert look(database) == {"enrolled": 2}


def test_backfill_waits_for_transactions_that_did_not_see_the_trigger(database):
    with psycopg.connect(database.url) as late:
        with database.transaction() as connection:
            workspace = a_workspace(connection)
            contact_ids = contacts(connection, workspace, 4)
        late.execute("UPDATE contacts SET tags = '{vip}' WHERE id = ANY(%s)", [contact_ids[:2]])
        with database.transaction() as connection:
            a_published_campaign(
                connection,
                entered_by(trigger="tag", tag="vip", backfill=True),
                workspace_id=workspace,
            )
        assert look(database) == {}
        tag(database, contact_ids[2:3])
        assert look(database) == {"enrolled": 1}
        late.commit()
    assert look_until_open(database) == {"enrolled": 2}
    assert look(database) == {}


def test_two_concurrent_checks_enroll_no_contact_twice(database):
    campaign, contact_ids = set_up(database, BY_TAG, 600)
    for _ in range(3):
        tag(database, contact_ids)
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: look(database, chunk_size=50), range(4)))
        assert sum(one.get("no_longer", 0) for one in results) == 0
        untag(database, contact_ids)
    assert inside(database, campaign) == sorted(contact_ids)


def test_two_concurrent_scans_enroll_every_contact_exactly_once(database):
    campaign, contact_ids = set_up(
        database, entered_by(trigger="schedule", cron="0 8 * * *", re_entry="after_exit"), 400
    )
    day = NOW + timedelta(days=1)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: look(database, day, chunk_size=30), range(3)))
    look(database, day)
    assert inside(database, campaign) == sorted(contact_ids)


def test_an_interrupted_check_loses_no_contact(database, monkeypatch):
    campaign, contact_ids = set_up(database, BY_TAG, 90)
    tag(database, contact_ids)
    chunks = 0

    def die(_: str) -> None:
        nonlocal chunks
        chunks += 1
        if chunks == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(database, chunk_size=20, progress=die)
    assert len(inside(database, campaign)) == 40
    with monkeypatch.context() as patched:
        patched.setattr("drip_pipeline.engine.enrollment.entry_triggers.admit", _fails)
        with pytest.raises(RuntimeError):
            look(database, chunk_size=20)
    assert look(database, chunk_size=20) == {"enrolled": 50}
    assert inside(database, campaign) == sorted(contact_ids)


def _fails(*_args: object, **_options: object) -> dict[str, int]:
    raise RuntimeError("between the note and the enrollment")
