"""Enrollment: which contacts are admitted or refused, and why; a repetition changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.graph.graph import CampaignGraph
from drip_pipeline.domain.graph.nodes import SmsAction, TriggerConfig
from drip_pipeline.engine.campaigns.campaign import archive, pause
from drip_pipeline.engine.enrollment.audience import (
    Addresses,
    Contacts,
    Everybody,
    Matching,
    Tagged,
)
from drip_pipeline.engine.enrollment.enroll import EnrollReport, EntryOptions, enroll
from drip_pipeline.errors import CampaignNotFound, NotAllowed
from tests.engine.factories import (
    NOW,
    Published,
    a_published_campaign,
    a_workspace,
    contacts,
    run_until_idle,
)
from tests.engine.graphs import add_tag, email, end, graph, node, trigger, wait_hours

LETTER = graph(trigger("hello"), email("hello", default="end"), end())


def entered_by(re_entry: Any, flow: CampaignGraph = LETTER) -> CampaignGraph:
    """The graph with this re-entry policy."""
    start = replace(flow.nodes["start"], config=TriggerConfig(re_entry=re_entry))
    return replace(flow, nodes={**flow.nodes, "start": start})


def set_up(
    database: Database, count: int, flow: CampaignGraph = LETTER
) -> tuple[Published, list[UUID]]:
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, flow)
        return campaign, contacts(connection, campaign.workspace_id, count)


def outcome(report: EnrollReport) -> dict[str, int]:
    counts = {"enrolled": report.enrolled, "already_in": report.already_in, **report.refused}
    return {name: count for name, count in counts.items() if count}


def change(database: Database, statement: str, *params: Any) -> None:
    with database.transaction() as connection:
        connection.execute(statement, params)


def value_of(connection: Connection, statement: str, *params: Any) -> Any:
    row = connection.execute(statement, params).fetchone()
    assert row is not None
    return row[0]


def suppress(database: Database, address: str, **columns: Any) -> None:
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, address, channel, campaign_id, "
            "reason, created_at) SELECT id, %s, %s, %s, %s, %s FROM workspaces",
            [
                address,
                columns.get("channel"),
                columns.get("campaign_id"),
                columns.get("reason", "unsubscribed"),
                NOW,
            ],
        )


def test_every_contact_gets_a_state_at_the_entry_and_an_event(database):
    campaign, _ = set_up(database, 5)
    report = enroll(database, "Welcome", Everybody(), now=NOW)
    assert (report.campaign_id, report.version) == (campaign.campaign_id, 1)
    assert outcome(report) == {"enrolled": 5}
    with database.transaction() as connection:
        states = connection.execute(
            "SELECT DISTINCT current_node_id, workflow_status, next_execution_at, campaign_version "
            "FROM campaign_workflow_states"
        ).fetchall()
        assert states == [("start", "running", NOW, 1)]
        started = "SELECT count(*) FROM campaign_events WHERE event_type = 'enrollment_started'"
        assert value_of(connection, started) == 5
        shown = "SELECT contact_email, contact_name, workspace_id, started_at, status, entry_key"
        row = connection.execute(
            f"{shown} FROM campaign_enrollments ORDER BY contact_email LIMIT 1"
        ).fetchone()
        assert row == (
            "person1@example.com", "Person 1", campaign.workspace_id, NOW, "active", "",
        )  # fmt: skip


def test_a_repetition_enrolls_no_contact_twice(database):
    set_up(database, 7)
    enroll(database, "Welcome", Everybody(), now=NOW)
    again = enroll(database, "Welcome", Everybody(), now=NOW + timedelta(days=1), chunk_size=2)
    assert outcome(again) == {"already_in": 7}


def test_the_last_chunk_and_all_chunks_before_it_are_enrolled(database):
    set_up(database, 7)
    counts: list[str] = []
    report = enroll(database, "Welcome", Everybody(), now=NOW, chunk_size=3, progress=counts.append)
    assert outcome(report) == {"enrolled": 7}
    assert counts[-1] == "7 enrolled of 7 contacts checked"
    assert len(counts) == 3


def test_twenty_thousand_contacts_are_enrolled_in_one_statement_within_half_a_minute(database):
    campaign, contact_ids = set_up(database, 20_000)
    begun = perf_counter()
    report = enroll(database, campaign.campaign_id, Contacts(contact_ids), now=NOW)
    assert report.enrolled == 20_000
    assert perf_counter() - begun < 30
    with database.transaction() as connection:
        assert (
            value_of(connection, "SELECT count(DISTINCT xmin::text) FROM campaign_enrollments") == 1
        )


def test_addresses_are_matched_in_any_case_and_unknown_ones_are_counted(database):
    campaign, _ = set_up(database, 3)
    with database.transaction() as connection:
        other = a_workspace(connection, "Other")
        contacts(connection, other, 1, prefix="elsewhere")
    addresses = ["PERSON1@example.com", " person2@example.com", "person2@example.com"]
    addresses += ["nobody@example.com", "elsewhere1@example.com"]
    report = enroll(database, campaign.campaign_id, Addresses(addresses), now=NOW)
    assert outcome(report) == {"enrolled": 2, "not_found": 1, "other_workspace": 1}


def test_a_contact_of_another_workspace_is_refused(database):
    campaign, contact_ids = set_up(database, 1)
    with database.transaction() as connection:
        strangers = contacts(connection, a_workspace(connection, "Other"), 1, prefix="elsewhere")
    report = enroll(database, campaign.campaign_id, Contacts(contact_ids + strangers), now=NOW)
    assert outcome(report) == {"enrolled": 1, "other_workspace": 1}


def test_a_tag_selects_contacts(database):
    set_up(database, 3)
    change(database, "UPDATE contacts SET tags = '{trial,new}' WHERE email LIKE 'person2@%%'")
    assert outcome(enroll(database, "Welcome", Tagged("trial"), now=NOW)) == {"enrolled": 1}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"type": "score", "operator": ">=", "value": 60}, {"2", "3"}),
        ({"type": "field", "field": "plan", "operator": "==", "value": "pro"}, {"1"}),
        ({"type": "field", "field": "first_name", "operator": "==", "value": "Person"}, set("123")),
        ({"type": "tag", "operator": "contains", "value": "trial"}, {"3"}),
        ({"type": "event", "event_type": "purchase", "time_window": 48}, {"2"}),
        ({"type": "event", "event_type": "enrollment_started"}, {"3"}),
        ({"type": "time", "field": "hour", "operator": "==", "value": 18}, {"1"}),
    ],
)
def test_a_condition_selects_contacts_as_inside_a_campaign(database, condition, expected):
    campaign, contact_ids = set_up(database, 3)
    for statement in (
        "UPDATE contacts SET ai_score = 40 WHERE email LIKE 'person1@%%'",
        "UPDATE contacts SET ai_score = 60 WHERE email LIKE 'person2@%%'",
        "UPDATE contacts SET ai_score = 90, tags = '{trial}' WHERE email LIKE 'person3@%%'",
        """UPDATE contacts SET custom_fields = '{"plan": "pro", "timezone": "Asia/Tokyo"}'
        WHERE email LIKE 'person1@%%'""",
    ):
        change(database, statement)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at) "
            "VALUES (%s, %s, 'purchase', %s)",
            [campaign.workspace_id, contact_ids[1], NOW - timedelta(hours=1)],
        )
        earlier = a_published_campaign(connection, LETTER, name="Earlier")
    enroll(database, earlier.campaign_id, Contacts([contact_ids[2]]), now=NOW)
    chosen = Matching(Condition.model_validate(condition))
    enroll(database, campaign.campaign_id, chosen, now=NOW, chunk_size=2)
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT contact_email FROM campaign_enrollments WHERE campaign_id = %s",
            [campaign.campaign_id],
        ).fetchall()
    assert {address.removeprefix("person")[0] for (address,) in rows} == expected


def test_a_suppressed_contact_is_refused(database):
    campaign, _ = set_up(database, 6)
    suppress(database, "PERSON1@example.com")
    suppress(database, "person2@example.com", channel="email", reason="bounced")
    suppress(database, "person3@example.com", campaign_id=campaign.campaign_id, reason="complained")
    suppress(database, "person4@example.com", campaign_id=uuid4())  # of another campaign
    suppress(database, "person5@example.com", channel="sms")  # a channel that is not used here
    change(database, "UPDATE contacts SET email = NULL WHERE email LIKE 'person6@%%'")
    report = enroll(database, campaign.campaign_id, Everybody(), now=NOW)
    assert outcome(report) == {"enrolled": 2, "suppressed": 3, "no_email": 1}


def test_a_contact_without_address_enters_a_campaign_that_needs_none(database):
    flow = graph(trigger("note"), add_tag("note", "seen", default="end"), end())
    campaign, _ = set_up(database, 2, flow)
    change(database, "UPDATE contacts SET email = NULL WHERE email LIKE 'person1@%%'")
    report = enroll(database, campaign.campaign_id, Everybody(), now=NOW)
    assert outcome(report) == {"enrolled": 2}


def test_a_second_channel_admits_contacts_that_the_first_cannot_reach(database):
    text = node("text", "action", SmsAction(body="Hello"), default="end")
    flow = graph(trigger("hello"), email("hello", default="text"), text, end())
    campaign, _ = set_up(database, 4, flow)
    change(database, "UPDATE contacts SET phone = '+1555010' || right(name, 1)")
    change(database, "UPDATE contacts SET email = NULL WHERE name IN ('Person 1', 'Person 2')")
    change(database, "UPDATE contacts SET phone = NULL WHERE name = 'Person 2'")
    suppress(database, "person3@example.com", channel="email")
    suppress(database, "person4@example.com", channel="email")
    suppress(database, "+15550104", channel="sms")
    report = enroll(database, campaign.campaign_id, Everybody(), now=NOW)
    assert outcome(report) == {"enrolled": 2, "no_email": 1, "suppressed": 1}


def test_after_exit_admits_contacts_again_after_their_exit(database):
    flow = entered_by(
        "after_exit", graph(trigger("rest"), wait_hours("rest", 1, default="end"), end())
    )
    campaign, _ = set_up(database, 2, flow)
    enroll(database, campaign.campaign_id, Everybody(), now=NOW)
    run_until_idle(database, NOW)
    assert outcome(enroll(database, "Welcome", Everybody(), now=NOW)) == {"already_in": 2}
    later = NOW + timedelta(hours=2)
    run_until_idle(database, later)
    assert outcome(enroll(database, "Welcome", Everybody(), now=later)) == {"enrolled": 2}
    with database.transaction() as connection:
        keys = connection.execute("SELECT DISTINCT entry_key FROM campaign_enrollments").fetchall()
        assert {key for (key,) in keys} == {"", "run-2"}


def test_after_days_waits_since_the_last_run_ended(database):
    set_up(database, 1, entered_by({"after_days": 30}))
    enroll(database, "Welcome", Everybody(), now=NOW)
    run_until_idle(database, NOW)
    soon, later = NOW + timedelta(days=29), NOW + timedelta(days=30, seconds=1)
    assert outcome(enroll(database, "Welcome", Everybody(), now=soon)) == {"too_soon": 1}
    assert outcome(enroll(database, "Welcome", Everybody(), now=later)) == {"enrolled": 1}


def test_per_key_is_one_run_per_key_even_while_another_is_open(database):
    set_up(database, 1, entered_by("per_key"))

    def order(key: str) -> dict[str, int]:
        return outcome(enroll(database, "Welcome", Everybody(), now=NOW, options=EntryOptions(key)))

    assert order("order-1") == {"enrolled": 1}
    assert order("order-1") == {"already_in": 1}
    assert order("order-2") == {"enrolled": 1}


def test_per_key_without_a_key_is_refused_by_name(database):
    set_up(database, 1, entered_by("per_key"))
    with pytest.raises(NotAllowed, match="once per key"):
        enroll(database, "Welcome", Everybody(), now=NOW)


def test_a_contact_that_unsubscribed_from_the_campaign_is_not_admitted_again(database):
    set_up(database, 1, entered_by("after_exit"))
    enroll(database, "Welcome", Everybody(), now=NOW)
    change(database, "UPDATE campaign_enrollments SET status = 'unsubscribed'")
    run_until_idle(database, NOW)
    assert outcome(enroll(database, "Welcome", Everybody(), now=NOW)) == {"suppressed": 1}


def test_a_spread_distributes_due_times_over_the_interval(database):
    set_up(database, 400)
    enroll(database, "Welcome", Everybody(), now=NOW, options=EntryOptions(spread_minutes=60))
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT min(next_execution_at), max(next_execution_at), "
            "count(*) FILTER (WHERE next_execution_at < %s), min(started_at) "
            "FROM campaign_workflow_states",
            [NOW + timedelta(minutes=30)],
        ).fetchone()
    assert row is not None
    assert NOW <= row[0] < NOW + timedelta(minutes=5)
    assert NOW + timedelta(minutes=55) < row[1] < NOW + timedelta(minutes=60)
    assert 120 < row[2] < 280
    assert row[3] == NOW


def test_a_paused_campaign_admits_contacts_that_wait(database):
    set_up(database, 2)
    pause(database, "Welcome", now=NOW)
    report = enroll(database, "Welcome", Everybody(), now=NOW)
    assert (report.enrolled, report.status) == (2, "paused")
    assert run_until_idle(database, NOW).advanced == 0


def test_two_concurrent_enrollments_of_the_same_contacts_admit_each_once(database):
    campaign, contact_ids = set_up(database, 3_000)

    def enrollment(order: list[UUID]) -> EnrollReport:
        return enroll(database, campaign.campaign_id, Contacts(order), now=NOW, chunk_size=1_000)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(enrollment, (contact_ids, contact_ids[::-1]))
    assert first.enrolled + second.enrolled == 3_000
    assert first.already_in + second.already_in == 3_000
    with database.transaction() as connection:
        assert value_of(connection, "SELECT count(*) FROM campaign_workflow_states") == 3_000


def test_no_contact_is_enrolled_while_the_campaign_is_archived(database):
    campaign, _ = set_up(database, 2)

    def somebody_waits() -> bool:
        # A transaction of its own each time: inside one, the view does not change.
        with database.transaction() as connection:
            waiting = (
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(value_of(connection, waiting))

    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as connection:
            connection.execute("UPDATE drip_campaigns SET status = 'archived'")
            enrollment = pool.submit(enroll, database, campaign.campaign_id, Everybody(), now=NOW)
            while not somebody_waits() and not enrollment.done():
                wait([enrollment], timeout=0.01)
            assert not enrollment.done()
        with pytest.raises(NotAllowed, match="it is archived"):
            enrollment.result()
    with database.transaction() as connection:
        assert value_of(connection, "SELECT count(*) FROM campaign_enrollments") == 0


def test_drafts_archived_and_unknown_campaigns_are_refused_by_name(database):
    set_up(database, 1)
    change(
        database,
        "INSERT INTO drip_campaigns (workspace_id, name) SELECT id, 'Idea' FROM workspaces",
    )
    archive(database, "Welcome", now=NOW)
    with pytest.raises(NotAllowed, match="'Idea': it is not published yet"):
        enroll(database, "Idea", Everybody(), now=NOW)
    with pytest.raises(NotAllowed, match="'Welcome': it is archived"):
        enroll(database, "Welcome", Everybody(), now=NOW)
    with pytest.raises(CampaignNotFound):
        enroll(database, "Nothing", Everybody(), now=NOW)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    picks=st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=4),
    chunk_size=st.integers(1, 15),
    re_entry=st.sampled_from(["once", "after_exit"]),
)
def test_every_selected_contact_counts_once_and_enrolls_once(database, picks, chunk_size, re_entry):
    with database.transaction() as connection:
        name = f"Campaign {uuid4()}"
        campaign = a_published_campaign(connection, entered_by(re_entry), name=name)
        contact_ids = contacts(connection, campaign.workspace_id, 12, prefix=f"p{uuid4()}-")
    inside: set[int] = set()
    for pick in picks:
        report = enroll(
            database,
            campaign.campaign_id,
            Contacts([contact_ids[n] for n in pick]),
            now=NOW,
            chunk_size=chunk_size,
        )
        assert report.enrolled == len(pick - inside)
        assert report.already_in == len(pick & inside)
        inside |= pick
    with database.transaction() as connection:
        states = "SELECT count(*) FROM campaign_workflow_states WHERE campaign_id = %s"
        assert value_of(connection, states, campaign.campaign_id) == len(inside)
