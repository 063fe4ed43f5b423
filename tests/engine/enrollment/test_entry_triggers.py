"""Entry triggers: who comes to match enters once, whoever changed the data, however it commits."""

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

# The size of the acceptance; the suite makes do with less. NEWCOMERS=50000
MANY = int(os.environ.get("NEWCOMERS", "3000"))


# --- tags and scores ------------------------------------------------------------------------------


def test_people_whom_an_application_tags_enter_once_and_never_again(database):
    campaign, people = set_up(database, BY_TAG, MANY)
    tag(database, people)
    assert pending_entries(database, NOW).campaigns == ["Welcome"]
    assert look(database) == {"enrolled": MANY}
    assert pending_entries(database, NOW).campaigns == []
    assert look(database) == {}
    # Changes for other reasons, and another tag, note nobody.
    change(database, "UPDATE contacts SET last_interaction = now(), tags = tags || '{b}'")
    assert look(database) == {}
    assert inside(database, campaign) == sorted(people)


def test_a_tick_without_dagster_takes_them_in_and_on_their_way(database):
    campaign, people = set_up(database, BY_TAG, 5)
    tag(database, people)
    report = run_until_idle(database)
    (newcomers,) = report.new_enrollments
    assert newcomers == NewEnrollments(campaign.campaign_id, "Welcome", "tag", 5, 0, {}, 1)
    assert report.delivered["email"].sent == 5


def test_a_tag_of_one_campaign_lets_people_into_another_in_the_same_tick(database):
    _, people = set_up(database, BY_TAG, 3)
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
    assert inside(database, campaign) == sorted(people)


def test_who_matched_before_the_campaign_enters_only_where_it_says_so(database):
    set_up(database, BY_TAG, 4, tags="{vip}")
    assert look(database) == {}


@pytest.mark.parametrize(
    "config",
    [{"trigger": "tag", "tag": "vip"}, {"trigger": "score", "at_least": 70}],
    ids=["tag", "score"],
)
def test_with_backfill_everybody_who_matches_enters_once(database, config):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        people = contacts(connection, workspace, 9)
        connection.execute("UPDATE contacts SET tags = '{vip}', ai_score = 70")
        contacts(connection, workspace, 5, prefix="other")
        campaign = a_published_campaign(
            connection, entered_by(**config, backfill=True), workspace_id=workspace
        )
    assert pending_entries(database, NOW).campaigns == ["Welcome"]
    assert look_until_open(database, chunk_size=2) == {"enrolled": 9}
    assert inside(database, campaign) == sorted(people)
    assert look(database) == {}
    assert pending_entries(database, NOW).campaigns == []


def test_a_score_counts_when_it_passes_the_mark_and_not_while_it_stays_above(database):
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


def test_new_people_who_come_with_the_tag_enter(database):
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
def test_a_tag_lost_and_regained_counts_again_where_people_may_come_again(
    database, re_entry, again
):
    _, people = set_up(database, entered_by(trigger="tag", tag="vip", re_entry=re_entry), 2)
    tag(database, people)
    run_until_idle(database)
    untag(database, people)
    tag(database, people)
    assert look(database) == again
    assert look(database) == {}


def test_a_tag_taken_off_before_the_look_lets_nobody_in(database):
    _, people = set_up(database, BY_TAG, 3)
    tag(database, people)
    untag(database, people[:1])
    assert look(database) == {"enrolled": 2, "no_longer": 1}


def test_people_who_want_no_mail_are_refused_with_the_reason(database):
    campaign, people = set_up(database, BY_TAG, 3)
    change(
        database,
        "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at)"
        " VALUES (%s, 'person1@example.com', 'unsubscribed', now())",
        campaign.workspace_id,
    )  # fmt: skip
    change(database, "UPDATE contacts SET email = NULL WHERE email LIKE 'person2%%'")
    tag(database, people)
    assert look(database) == {"enrolled": 1, "suppressed": 1, "no_email": 1}


def test_people_of_another_workspace_do_not_enter(database):
    set_up(database, BY_TAG, 1)
    with database.transaction() as connection:
        others = contacts(connection, a_workspace(connection, "Other"), 2)
    tag(database, others)
    assert look(database) == {}


# --- whatever happens at the same time ------------------------------------------------------------


def test_a_transaction_that_commits_after_a_look_is_not_missed(database):
    _, people = set_up(database, BY_TAG, 4)
    with psycopg.connect(database.url) as late:
        late.execute("UPDATE contacts SET tags = '{vip}' WHERE id = ANY(%s)", [people[:2]])
        tag(database, people[2:])
        assert look(database) == {"enrolled": 2}
        late.commit()
    assert look(database) == {"enrolled": 2}


def test_backfill_waits_for_those_who_changed_people_before_they_could_see_the_campaign(database):
    with psycopg.connect(database.url) as late:
        with database.transaction() as connection:
            workspace = a_workspace(connection)
            people = contacts(connection, workspace, 4)
        late.execute("UPDATE contacts SET tags = '{vip}' WHERE id = ANY(%s)", [people[:2]])
        with database.transaction() as connection:
            a_published_campaign(
                connection,
                entered_by(trigger="tag", tag="vip", backfill=True),
                workspace_id=workspace,
            )
        assert look(database) == {}
        tag(database, people[2:3])
        assert look(database) == {"enrolled": 1}
        late.commit()
    assert look_until_open(database) == {"enrolled": 2}
    assert look(database) == {}


def test_two_looks_at_once_let_nobody_in_twice(database):
    campaign, people = set_up(database, BY_TAG, 600)
    for _ in range(3):
        tag(database, people)
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda _: look(database, chunk_size=50), range(4)))
        assert sum(one.get("no_longer", 0) for one in told) == 0
        untag(database, people)
    assert inside(database, campaign) == sorted(people)


def test_two_walks_at_once_let_nobody_in_twice_and_lose_nobody(database):
    campaign, people = set_up(
        database, entered_by(trigger="schedule", cron="0 8 * * *", re_entry="after_exit"), 400
    )
    day = NOW + timedelta(days=1)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: look(database, day, chunk_size=30), range(3)))
    look(database, day)
    assert inside(database, campaign) == sorted(people)


def test_a_look_that_dies_in_the_middle_loses_nobody(database, monkeypatch):
    campaign, people = set_up(database, BY_TAG, 90)
    tag(database, people)
    slices = 0

    def die(_: str) -> None:
        nonlocal slices
        slices += 1
        if slices == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(database, chunk_size=20, progress=die)
    assert len(inside(database, campaign)) == 40
    with monkeypatch.context() as patched:
        patched.setattr("drip_pipeline.engine.enrollment.entry_triggers.admit", _fails)
        with pytest.raises(RuntimeError):
            look(database, chunk_size=20)
    assert look(database, chunk_size=20) == {"enrolled": 50}
    assert inside(database, campaign) == sorted(people)


def _fails(*_args: object, **_options: object) -> dict[str, int]:
    raise RuntimeError("between the note and the enrollment")
