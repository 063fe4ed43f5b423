"""Finding, showing, pausing, resuming and archiving campaigns; and statuses that an application
sets on a single enrollment.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.campaigns.campaign import (
    archive,
    find_campaign,
    list_campaigns,
    pause,
    resume,
    show_campaign,
)
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.errors import CampaignAmbiguous, CampaignNotFound, NotAllowed
from tests.engine.factories import (
    NOW,
    Published,
    a_published_campaign,
    a_workspace,
    contacts,
    people_inside,
    run_until_idle,
    sent_messages,
)
from tests.engine.graphs import email, end, graph, score_at_least, trigger, wait_hours

HOUR = timedelta(hours=1)
TWO_LETTERS = graph(
    trigger("first"),
    email("first", default="rest"),
    wait_hours("rest", 1, default="second"),
    email("second", default="end"),
    end(),
)


def rows(database: Database, statement: str, *params: Any) -> list[Any]:
    with database.transaction() as connection:
        return connection.execute(statement, params).fetchall()


def change(database: Database, statement: str, *params: Any) -> None:
    with database.transaction() as connection:
        connection.execute(statement, params)


def messages(database: Database, campaign: Published) -> int:
    with database.transaction() as connection:
        return len(sent_messages(connection, campaign))


def by_status(database: Database) -> dict[str, int]:
    return dict(
        rows(database, "SELECT workflow_status, count(*) FROM campaign_workflow_states GROUP BY 1")
    )


# --- finding --------------------------------------------------------------------------------------


def test_a_campaign_is_found_by_id_and_by_exact_name(database):
    with database.transaction() as connection:
        made = a_published_campaign(connection, TWO_LETTERS, name="Spring sale")
        for wanted in (made.campaign_id, str(made.campaign_id), "Spring sale"):
            assert find_campaign(connection, wanted).campaign_id == made.campaign_id
        for wanted in ("spring sale", "Spring", uuid4()):
            with pytest.raises(CampaignNotFound):
                find_campaign(connection, wanted)


def test_a_shared_name_is_ambiguous_until_all_but_one_are_archived(database):
    with database.transaction() as connection:
        first = a_published_campaign(connection, TWO_LETTERS)
        second = a_published_campaign(
            connection, TWO_LETTERS, workspace_id=a_workspace(connection, "Other")
        )
        with pytest.raises(CampaignAmbiguous):
            find_campaign(connection, "Welcome")
    archive(database, first.campaign_id, now=NOW)
    with database.transaction() as connection:
        assert find_campaign(connection, "Welcome").campaign_id == second.campaign_id
    archive(database, second.campaign_id, now=NOW)
    with database.transaction() as connection, pytest.raises(CampaignAmbiguous):
        find_campaign(connection, "Welcome")


# --- showing --------------------------------------------------------------------------------------


def test_showing_counts_the_states_at_each_node_and_those_that_passed_it(database):
    flow = graph(
        trigger("first"),
        email("first", default="ask"),
        score_at_least("ask", 50, yes="rest", else_="end"),
        wait_hours("rest", 1, default="end"),
        end(),
    )
    campaign, _ = people_inside(database, flow, 5)
    with database.transaction() as connection:
        high = contacts(connection, campaign.workspace_id, 3, prefix="high")
        connection.execute("UPDATE contacts SET ai_score = 80 WHERE id = ANY(%s)", [high])
    enroll(database, campaign.campaign_id, Everybody(), now=NOW)
    run_until_idle(database, NOW)
    with database.transaction() as connection:
        contacts(connection, campaign.workspace_id, 2, prefix="new")
    enroll(database, campaign.campaign_id, Everybody(), now=NOW)
    shown = show_campaign(database, "Welcome")
    counted = {node.node_id: (node.now, node.passed) for node in shown.nodes}
    assert counted == {
        "start": (2, 8),
        "first": (0, 8),
        "ask": (0, 8),
        "rest": (3, 0),
        "end": (0, 5),
    }
    assert [node.node_id for node in shown.nodes] == ["start", "first", "ask", "rest", "end"]
    (population,) = shown.population
    assert (population.entered, population.active, population.completed) == (10, 5, 5)
    assert [entry.version for entry in shown.versions] == [1]


def test_states_at_a_node_of_an_older_version_are_shown_too(database):
    campaign, _ = people_inside(database, TWO_LETTERS, 2)
    change(
        database,
        "UPDATE campaign_workflow_states SET current_node_id = 'gone' WHERE id = "
        "(SELECT min(id::text)::uuid FROM campaign_workflow_states)",
    )
    shown = {node.node_id: node for node in show_campaign(database, campaign.campaign_id).nodes}
    assert shown["gone"].now == 1
    assert shown["rest"].now == 1


def test_the_list_has_every_campaign_with_its_enrollments(database):
    people_inside(database, TWO_LETTERS, 3)
    with database.transaction() as connection:
        a_published_campaign(connection, TWO_LETTERS, name="Another")
    listed = {row.name: row for row in list_campaigns(database)}
    assert (listed["Welcome"].active, listed["Another"].active) == (3, 0)
    assert list_campaigns(database, workspace="Nowhere") == []
    assert len(list_campaigns(database, workspace="Acme")) == 2


# --- pausing and resuming -------------------------------------------------------------------------


def test_nothing_of_a_paused_campaign_is_claimed_or_sent(database):
    campaign, _ = people_inside(database, TWO_LETTERS, 4)
    held = pause(database, "Welcome", now=NOW)
    assert (held.status, held.has_changed, held.enrollments) == ("paused", True, 4)
    report = run_until_idle(database, NOW + 5 * HOUR)
    assert (report.advanced, report.delivered) == (0, {})
    assert messages(database, campaign) == 4
    assert by_status(database) == {"waiting": 4}


def test_messages_queued_before_the_pause_stay_queued(database):
    campaign, _ = people_inside(database, TWO_LETTERS, 2)
    change(
        database,
        "UPDATE campaign_deliveries SET status = 'pending', due_at = %s, settled_at = NULL",
        NOW,
    )
    pause(database, "Welcome", now=NOW)
    run_until_idle(database, NOW + HOUR)
    assert rows(database, "SELECT DISTINCT status FROM campaign_deliveries") == [("pending",)]
    resume(database, campaign.campaign_id, now=NOW + HOUR)
    run_until_idle(database, NOW + HOUR)
    assert ("pending",) not in rows(database, "SELECT DISTINCT status FROM campaign_deliveries")


def test_resuming_runs_overdue_states(database):
    campaign, _ = people_inside(database, TWO_LETTERS, 4)
    pause(database, "Welcome", now=NOW)
    later = NOW + 5 * HOUR
    going = resume(database, "Welcome", now=later)
    assert (going.status, going.enrollments, going.overdue) == ("active", 4, 0)
    run_until_idle(database, later)
    assert by_status(database) == {"completed": 4}
    assert messages(database, campaign) == 8


def test_resuming_can_spread_overdue_states(database):
    people_inside(database, TWO_LETTERS, 200)
    pause(database, "Welcome", now=NOW)
    later = NOW + 5 * HOUR
    going = resume(database, "Welcome", now=later, spread_minutes=60)
    assert (going.overdue, going.spread_minutes) == (200, 60)
    run_until_idle(database, later + timedelta(minutes=30))
    halfway = by_status(database)
    assert 50 < halfway["completed"] < 150
    run_until_idle(database, later + HOUR)
    assert by_status(database) == {"completed": 200}


def test_a_campaign_setting_can_spread_overdue_states(database):
    people_inside(database, TWO_LETTERS, 10)
    change(database, "UPDATE drip_campaigns SET drip_settings = '{\"resume_spread_minutes\": 15}'")
    pause(database, "Welcome", now=NOW)
    assert resume(database, "Welcome", now=NOW + 2 * HOUR).spread_minutes == 15


def test_pausing_and_resuming_twice_changes_nothing_more(database):
    people_inside(database, TWO_LETTERS, 1)
    assert not resume(database, "Welcome", now=NOW).has_changed
    assert pause(database, "Welcome", now=NOW).has_changed
    assert not pause(database, "Welcome", now=NOW).has_changed


# --- archiving ------------------------------------------------------------------------------------


def test_archiving_ends_open_runs_with_a_reason_and_keeps_a_last_version(database):
    campaign, _ = people_inside(database, TWO_LETTERS, 3)
    done = archive(database, "Welcome", now=NOW + HOUR)
    assert (done.status, done.enrollments) == ("archived", 3)
    assert rows(database, "SELECT DISTINCT exit_reason FROM campaign_workflow_states") == [
        ("campaign_archived",)
    ]
    assert rows(database, "SELECT DISTINCT status FROM campaign_enrollments") == [("completed",)]
    exited = "SELECT count(*) FROM campaign_events WHERE event_type = 'enrollment_exited'"
    assert rows(database, exited) == [(3,)]
    run_until_idle(database, NOW + 5 * HOUR)
    assert messages(database, campaign) == 3
    shown = show_campaign(database, campaign.campaign_id)
    assert [entry.change_type for entry in shown.versions] == ["archived", "published"]
    (population,) = shown.population
    assert (population.entered, population.exited) == (3, 3)
    assert not archive(database, "Welcome", now=NOW + HOUR).has_changed


def test_archived_and_unpublished_campaigns_cannot_be_paused_or_resumed(database):
    people_inside(database, TWO_LETTERS, 1)
    archive(database, "Welcome", now=NOW)
    for act in (pause, resume):
        with pytest.raises(NotAllowed, match="is archived; this cannot be undone"):
            act(database, "Welcome", now=NOW)
    change(database, "UPDATE drip_campaigns SET status = 'draft'")
    with pytest.raises(NotAllowed, match="was never published"):
        pause(database, "Welcome", now=NOW)


# --- single enrollments, as an application sets them ----------------------------------------------


def test_an_enrollment_paused_by_an_application_continues_when_it_is_active_again(database):
    campaign, (first, _) = people_inside(database, TWO_LETTERS, 2)
    change(database, "UPDATE campaign_enrollments SET status = 'paused' WHERE id = %s", first)
    run_until_idle(database, NOW + 2 * HOUR)
    assert by_status(database) == {"paused": 1, "completed": 1}
    run_until_idle(database, NOW + 3 * HOUR)
    assert messages(database, campaign) == 3
    change(database, "UPDATE campaign_enrollments SET status = 'active' WHERE id = %s", first)
    run_until_idle(database, NOW + 4 * HOUR)
    assert by_status(database) == {"completed": 2}
    assert messages(database, campaign) == 4


@pytest.mark.parametrize(
    ("status", "reason"), [("unsubscribed", "unsubscribed"), ("bounced", "suppressed")]
)
def test_an_enrollment_ended_by_an_application_exits_with_the_reason(database, status, reason):
    campaign, (first, _) = people_inside(database, TWO_LETTERS, 2)
    change(database, "UPDATE campaign_enrollments SET status = %s WHERE id = %s", status, first)
    run_until_idle(database, NOW + 2 * HOUR)
    state = "SELECT workflow_status, exit_reason FROM campaign_workflow_states WHERE id = %s"
    assert rows(database, state, first) == [("exited", reason)]
    kept = "SELECT status FROM campaign_enrollments WHERE id = %s"
    assert rows(database, kept, first) == [(status,)]
    assert messages(database, campaign) == 3
