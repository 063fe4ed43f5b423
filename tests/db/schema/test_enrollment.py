from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.migrate import migrate
from drip_pipeline.errors import ConstraintViolated, DatabaseError
from tests.db.schema.existing_databases import legacy_database
from tests.db.schema.schema_rows import NOW, a_campaign, a_workspace, enroll, people, publish

MANY = 100_000


def states(connection: Connection) -> list[dict[str, Any]]:
    rows = connection.execute("SELECT to_jsonb(s) FROM campaign_workflow_states s").fetchall()
    return [row[0] for row in rows]


def test_an_applications_insert_puts_the_person_at_the_entry(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        contacts = people(connection, workspace, 1)
        (enrollment,) = enroll(connection, campaign, contacts)
        (state,) = states(connection)
        events = connection.execute(
            "SELECT event_type, enrollment_id, contact_id, workspace_id, campaign_version, "
            "created_at FROM campaign_events"
        ).fetchall()
    assert state["id"] == state["enrollment_id"] == str(enrollment)
    assert state["current_node_id"] == "start"
    assert state["workflow_status"] == "running"
    assert state["campaign_version"] == 1
    assert state["workspace_id"] == str(workspace)
    assert state["next_execution_at"] == state["started_at"] == "2026-03-02T09:00:00+00:00"
    assert events == [("enrollment_started", enrollment, contacts[0], workspace, 1, NOW)]


def test_the_enrollment_itself_learns_its_workspace(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        enroll(connection, a_campaign(connection, workspace), people(connection, workspace, 3))
        found = connection.execute(
            "SELECT DISTINCT workspace_id FROM campaign_enrollments"
        ).fetchall()
    assert found == [(workspace,)]


@pytest.mark.parametrize(
    ("status", "state"),
    [("active", "running"), ("paused", "paused"), ("completed", None), ("unsubscribed", None)],
)
def test_who_is_enrolled_as_paused_or_over_does_not_run(database, status, state):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        (contact,) = people(connection, workspace, 1)
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, status) "
            "VALUES (%s, %s, 'x@example.com', %s)",
            [campaign, contact, status],
        )
        assert [row["workflow_status"] for row in states(connection)] == ([state] if state else [])


def test_an_enrollment_that_starts_later_is_due_later(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        enroll(connection, campaign, people(connection, workspace, 1), at=NOW + timedelta(days=1))
        claimed = connection.execute("SELECT id FROM claim_due_states(10, %s)", [NOW]).fetchall()
    assert claimed == []


def test_an_enrollment_without_a_start_starts_now(empty_database):
    """A base table of an application may leave `started_at` empty."""
    with empty_database.transaction() as connection:
        legacy_database(connection)
    migrate(empty_database)
    with empty_database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = connection.execute(
            "INSERT INTO drip_campaigns (workspace_id, name, sequence_type, status) "
            "VALUES (%s, 'C', 'custom', 'active') RETURNING id",
            [workspace],
        ).fetchone()
        assert campaign
        publish(connection, campaign[0])
        (contact,) = people(connection, workspace, 1)
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, started_at, "
            "created_at) VALUES (%s, %s, 'x@example.com', NULL, NULL)",
            [campaign[0], contact],
        )
        (state,) = states(connection)
        assert state["next_execution_at"] is not None


def test_people_in_a_draft_get_no_state_until_it_is_published(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace, status="draft", is_published=False)
        enrollments = enroll(connection, campaign, people(connection, workspace, 5))
        assert states(connection) == []
        publish(connection, campaign)
        for expected in (5, 0):  # the second time finds everybody in
            entered = connection.execute("SELECT enter_enrollments(%s)", [enrollments]).fetchone()
            assert entered == (expected,)
        assert len(states(connection)) == 5
        (events,) = connection.execute("SELECT count(*) FROM campaign_events").fetchone() or (0,)
        assert events == 5


def test_a_contact_of_another_workspace_is_refused(database):
    with database.transaction() as connection:
        workspace, other = a_workspace(connection), a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        mixed = [*people(connection, workspace, 3), *people(connection, other, 1)]
    with (
        pytest.raises(ConstraintViolated, match="another workspace"),
        database.transaction() as connection,
    ):
        enroll(connection, campaign, mixed)
    with database.transaction() as connection:
        assert states(connection) == []
        left = connection.execute("SELECT count(*) FROM campaign_enrollments").fetchone()
        assert left == (0,)


def test_a_stranger_whom_an_older_application_let_in_gets_no_state(database):
    with database.transaction() as connection:
        workspace, other = a_workspace(connection), a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        stranger = people(connection, other, 1)
        connection.execute("ALTER TABLE campaign_enrollments DISABLE TRIGGER USER")
        enrollments = enroll(connection, campaign, stranger)
        entered = connection.execute("SELECT enter_enrollments(%s)", [enrollments]).fetchone()
        assert entered == (0,)


def test_enrolling_twice_is_refused_and_a_new_entry_key_is_not(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        contacts = people(connection, workspace, 1)
        enroll(connection, campaign, contacts)
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, entry_key) "
            "VALUES (%s, %s, 'x@example.com', 'order-7')",
            [campaign, contacts[0]],
        )
        assert len(states(connection)) == 2
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email) "
            "VALUES (%s, %s, 'x@example.com') ON CONFLICT DO NOTHING",
            [campaign, contacts[0]],
        )
        assert len(states(connection)) == 2
    with pytest.raises(DatabaseError), database.transaction() as connection:
        enroll(connection, campaign, contacts)


def test_one_statement_may_enrol_into_several_campaigns(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        published = a_campaign(connection, workspace)
        draft = a_campaign(connection, workspace, status="draft", is_published=False)
        people(connection, workspace, 4)
        connection.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email) "
            "SELECT c.id, k.id, k.email FROM contacts k CROSS JOIN drip_campaigns c"
        )
        assert {row["campaign_id"] for row in states(connection)} == {str(published)}
        assert len(states(connection)) == 4
        assert draft != published


def test_a_deleted_contact_ends_its_runs_and_a_deleted_campaign_takes_them_along(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        contacts = people(connection, workspace, 3)
        enroll(connection, campaign, contacts)
        connection.execute("DELETE FROM contacts WHERE id = %s", [contacts[0]])
        assert len(states(connection)) == 3
        ended = connection.execute(
            "SELECT contact_id FROM campaign_enrollments WHERE status = 'completed'"
        ).fetchall()
        assert ended == [(contacts[0],)]
        connection.execute("DELETE FROM drip_campaigns WHERE id = %s", [campaign])
        assert states(connection) == []


def test_a_state_written_with_the_specifications_columns_alone_fits_in(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        contacts = people(connection, workspace, 1)
        connection.execute("ALTER TABLE campaign_enrollments DISABLE TRIGGER USER")
        (enrollment,) = enroll(connection, campaign, contacts)
        connection.execute(
            "INSERT INTO campaign_workflow_states (enrollment_id, campaign_id, contact_id, "
            "current_node_id, workflow_status) VALUES (%s, %s, %s, 'start', 'running')",
            [enrollment, campaign, contacts[0]],
        )
        (state,) = states(connection)
        assert state["id"] == str(enrollment)
        assert state["workspace_id"] == str(workspace)
        assert state["campaign_version"] == 1
        claimed = connection.execute("SELECT id FROM claim_due_states(10, now())").fetchall()
        assert claimed == [(enrollment,)]


def test_the_trigger_works_by_the_statement(database):
    with database.transaction() as connection:
        (is_per_row,) = connection.execute(
            "SELECT tgtype::integer & 1 FROM pg_trigger "
            "WHERE tgname = 'create_workflow_state_on_enrollment'"
        ).fetchone() or (None,)
    assert is_per_row == 0


def test_a_hundred_thousand_enrollments_go_in_at_once(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace)
        bare = a_campaign(connection, workspace)
        # A graph as large as they come: opening it for every person would show.
        connection.execute(
            "UPDATE campaign_versions SET compiled_graph = compiled_graph || jsonb_build_object("
            "'nodes', (SELECT jsonb_agg(md5(n::text)) FROM generate_series(1, 10000) AS n))"
        )
        connection.execute(
            "INSERT INTO contacts (workspace_id, email) SELECT %s, n || '@example.com' "
            "FROM generate_series(1, %s) AS n",
            [workspace, MANY],
        )
        connection.execute("ANALYZE contacts")
    with database.transaction() as connection:
        connection.execute("ALTER TABLE campaign_enrollments DISABLE TRIGGER USER")
        seconds_without = insert_everybody(connection, bare, MANY // 5) * 5
        connection.execute("ALTER TABLE campaign_enrollments ENABLE TRIGGER USER")
    with database.transaction() as connection:
        seconds = insert_everybody(connection, campaign, MANY)
    with database.transaction() as connection:
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM campaign_workflow_states), "
            "(SELECT count(*) FROM campaign_events)"
        ).fetchone()
    assert counts == (MANY, MANY)
    # About five times as long, because the trigger also checks that the contacts exist, which no
    # foreign key does; row by row it is far more.
    assert seconds < 25 * seconds_without


def insert_everybody(connection: Connection, campaign: UUID, count: int) -> float:
    """Enroll so many contacts in one statement; how many seconds it took."""
    started = time.perf_counter()
    connection.execute(
        "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email) "
        "SELECT %s, k.id, k.email FROM contacts k LIMIT %s",
        [campaign, count],
    )
    return time.perf_counter() - started
