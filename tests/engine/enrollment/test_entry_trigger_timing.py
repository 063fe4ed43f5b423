"""Entry triggers by event and schedule, and campaigns that change while they listen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from drip_pipeline.engine.campaigns.campaign import archive, pause, resume
from drip_pipeline.engine.deadline import Deadline
from drip_pipeline.engine.enrollment.entry_triggers import pending_entries
from tests.engine.enrollment.arrivals import (
    BY_TAG,
    HOUR,
    change,
    entered_by,
    inside,
    look,
    look_until_open,
    publish_again,
    purchase,
    set_up,
    tag,
)
from tests.engine.factories import NOW, a_published_campaign, a_workspace, contacts, run_until_idle

# --- events ---------------------------------------------------------------------------------------


def test_events_after_publishing_enroll_each_contact_once(database):
    campaign, (one, other) = set_up(
        database, entered_by(trigger="event", event_type="purchase", re_entry="per_key"), 2
    )
    with database.transaction() as connection:
        purchase(connection, campaign, one, NOW - HOUR)
        purchase(connection, campaign, one, NOW + HOUR)
        purchase(connection, campaign, one, NOW + HOUR)
        purchase(connection, campaign, other, NOW + HOUR)
    assert look(database, NOW + HOUR) == {"enrolled": 3}
    assert look(database, NOW + HOUR) == {}
    assert inside(database, campaign) == sorted([one, one, other])


def test_events_of_other_campaigns_enroll_contacts_and_own_events_do_not(database):
    first, contact_ids = set_up(database, entered_by(trigger="tag", tag="vip"), 3)
    flow = entered_by(trigger="event", event_type="email_sent", re_entry="after_exit")
    with database.transaction() as connection:
        follower = a_published_campaign(connection, flow, name="Follow-up")
    tag(database, contact_ids)
    report = run_until_idle(database)
    assert [(new.campaign, new.enrolled) for new in report.new_enrollments] == [
        (first.name, 3),
        (follower.name, 3),
    ]
    assert run_until_idle(database, NOW + HOUR).new_enrollments == []


def test_an_event_of_a_machine_enrolls_no_contact(database):
    campaign, contact_ids = set_up(
        database, entered_by(trigger="event", event_type="email_opened"), 1
    )
    change(
        database,
        "INSERT INTO campaign_events (contact_id, workspace_id, event_type, event_data, created_at)"
        """ VALUES (%s, %s, 'email_opened', '{"machine": true}', %s)""",
        contact_ids[0], campaign.workspace_id, NOW + HOUR,
    )  # fmt: skip
    assert look(database) == {}


def test_with_backfill_contacts_of_earlier_events_are_enrolled(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        one, _ = contacts(connection, workspace, 2)
        connection.execute(
            "INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at)"
            " VALUES (%s, %s, 'purchase', %s)",
            [workspace, one, NOW - timedelta(days=9)],
        )
        campaign = a_published_campaign(
            connection,
            entered_by(trigger="event", event_type="purchase", backfill=True),
            workspace_id=workspace,
        )
    assert look_until_open(database) == {"enrolled": 1}
    assert inside(database, campaign) == [one]


# --- schedules ------------------------------------------------------------------------------------


def test_a_schedule_enrolls_matching_contacts_and_catches_up_once(database):
    customer = {"type": "field", "field": "status", "operator": "==", "value": "customer"}
    campaign, contact_ids = set_up(
        database,
        entered_by(trigger="schedule", cron="0 8 * * *", where=customer, re_entry="per_key"),
        5,
    )
    change(database, "UPDATE contacts SET status = 'customer' WHERE id = ANY(%s)", contact_ids[:2])
    assert look(database, NOW + timedelta(hours=22)) == {}
    eight = datetime(2026, 3, 3, 8, tzinfo=UTC)
    assert pending_entries(database, eight).campaigns == ["Welcome"]
    assert look(database, eight, chunk_size=2) == {"enrolled": 2}
    assert look(database, eight + HOUR) == {}
    # A week without a look: once, for the last time it was due.
    assert look(database, eight + timedelta(days=7)) == {"enrolled": 2}
    assert look(database, eight + timedelta(days=7)) == {}
    with database.transaction() as connection:
        keys = connection.execute(
            "SELECT DISTINCT entry_key FROM campaign_enrollments WHERE campaign_id = %s ORDER BY 1",
            [campaign.campaign_id],
        ).fetchall()
    assert keys == [("2026-03-03T08:00:00+00:00",), ("2026-03-10T08:00:00+00:00",)]


def test_a_scan_continues_where_the_previous_one_stopped(database, monkeypatch):
    campaign, contact_ids = set_up(
        database, entered_by(trigger="schedule", cron="0 8 * * *", backfill=True), 50
    )
    ends = iter([0.0, 0.0, 0.0, 2.0, 2.0])
    with monkeypatch.context() as patched:
        patched.setattr("drip_pipeline.engine.deadline.monotonic", lambda: next(ends))
        assert look(database, chunk_size=15, deadline=Deadline(1.0)) == {"enrolled": 45}
    assert look(database, chunk_size=15) == {"enrolled": 5}
    assert inside(database, campaign) == sorted(contact_ids)


def test_runs_that_are_enrolled_together_start_spread(database):
    set_up(
        database,
        entered_by(trigger="schedule", cron="0 8 * * *", spread_minutes=60, backfill=True),
        200,
    )
    look(database, NOW)
    with database.transaction() as connection:
        row = connection.execute(
            "SELECT count(DISTINCT next_execution_at), min(next_execution_at),"
            " max(next_execution_at) FROM campaign_workflow_states"
        ).fetchone()
    assert row is not None
    assert row[0] > 150
    assert row[1] < NOW + HOUR / 6
    assert NOW + 5 * HOUR / 6 < row[2] < NOW + HOUR


# --- campaigns that change ------------------------------------------------------------------------


def test_a_paused_campaign_enrolls_no_contact_and_loses_none(database):
    _, contact_ids = set_up(database, BY_TAG, 3)
    pause(database, "Welcome", now=NOW)
    tag(database, contact_ids)
    assert pending_entries(database, NOW).campaigns == []
    assert look(database) == {}
    resume(database, "Welcome", now=NOW + HOUR)
    assert look(database, NOW + HOUR) == {"enrolled": 3}


def test_an_archived_campaign_has_no_trigger(database):
    _, contact_ids = set_up(database, BY_TAG, 3)
    tag(database, contact_ids)
    archive(database, "Welcome", now=NOW)
    tag(database, contact_ids)
    assert look(database) == {}
    assert pending_entries(database, NOW).listening == 0
    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM campaign_entry_queue").fetchone() == (0,)


def test_a_changed_trigger_starts_from_scratch_and_an_unchanged_one_continues(database):
    campaign, contact_ids = set_up(database, BY_TAG, 4)
    tag(database, contact_ids[:2])
    publish_again(database, campaign, entered_by(trigger="tag", tag="vip", re_entry="after_exit"))
    assert look(database) == {"enrolled": 2}
    tag(database, contact_ids[2:3])
    publish_again(database, campaign, entered_by(trigger="tag", tag="gold"), version=3)
    assert look(database) == {}
    tag(database, contact_ids[3:], "gold")
    assert look(database, NOW + HOUR) == {"enrolled": 1}


def test_a_campaign_with_manual_entry_again_has_no_trigger(database):
    campaign, contact_ids = set_up(database, BY_TAG, 1)
    publish_again(database, campaign, entered_by(trigger="manual"))
    tag(database, contact_ids)
    assert look(database) == {}
    assert pending_entries(database, NOW).listening == 0
