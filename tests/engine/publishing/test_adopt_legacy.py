"""Campaigns that ran before this engine was installed are adopted, with their enrollments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.execution import workflow_states as states_db
from drip_pipeline.db.migrate import migrate
from drip_pipeline.engine.publishing.adopt_legacy import adopt_legacy
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import Settings
from tests.db.schema.existing_databases import legacy_database, specification_database
from tests.engine.factories import NOW, a_workspace, contacts, run_until_idle

OPTIONS = PublishOptions(
    now=NOW, settings=Settings(delivery="record"), channels=frozenset({"email"})
)


def a_legacy_campaign(
    connection: Connection, *, status: str = "active", delays: tuple[int, ...] = (0, 3, 7)
) -> tuple[UUID, UUID, list[UUID]]:
    """Insert a linear campaign as an application writes it; return (workspace, campaign, steps)."""
    workspace = a_workspace(connection, str(uuid4()))
    campaign: UUID = connection.execute(
        "INSERT INTO drip_campaigns (workspace_id, name, sequence_type, status, canvas_data)"
        " VALUES (%s, 'Old welcome', 'onboarding', %s, NULL) RETURNING id",
        [workspace, status],
    ).fetchone()[0]  # type: ignore[index]  # RETURNING gives a row
    steps = []
    for number, delay in enumerate(delays, start=1):
        row = connection.execute(
            "INSERT INTO campaign_steps (campaign_id, step_number, step_name, day_delay,"
            " subject_line, email_body) VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
            [
                campaign,
                number,
                f"Mail {number}",
                delay,
                f"Number {number}, {{{{first_name}}}} {{{{sender_signature}}}}",
                "Text",
            ],
        ).fetchone()
        assert row is not None
        steps.append(row[0])
    return workspace, campaign, steps


def enrolled_before(
    connection: Connection, campaign: UUID, people: list[UUID], **columns: Any
) -> None:
    """Insert enrollments as an application writes them."""
    given = {"current_step": 0, "last_email_sent_at": None, "next_email_scheduled_at": None}
    given |= columns
    connection.execute(
        "INSERT INTO campaign_enrollments (campaign_id, contact_id, contact_email, started_at,"
        " current_step, last_email_sent_at, next_email_scheduled_at)"
        " SELECT %(campaign)s, k.id, k.email, %(now)s, %(current_step)s, %(last_email_sent_at)s,"
        " %(next_email_scheduled_at)s FROM contacts k WHERE k.id = ANY(%(people)s)",
        given | {"campaign": campaign, "people": people, "now": NOW - timedelta(days=10)},
    )


def sent_so_far(database: Database) -> dict[str, int]:
    """Count recorded messages by the first two words of their subject."""
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT split_part(subject, ',', 1), count(*) FROM recorded_messages GROUP BY 1"
        ).fetchall()
    return dict(rows)


def test_an_adopted_campaign_sends_all_emails_with_their_delays(
    database: Database,
) -> None:
    with database.transaction() as connection:
        workspace, campaign, steps = a_legacy_campaign(connection)
        enrolled_before(connection, campaign, contacts(connection, workspace, 200))
    report = adopt_legacy(database, OPTIONS)
    assert report.refused == {}
    assert [(one.name, one.version, one.states) for one in report.adopted] == [
        ("Old welcome", 1, 200)
    ]
    run_until_idle(database)
    assert sent_so_far(database) == {"Number 1": 200}
    run_until_idle(database, NOW + timedelta(days=2, hours=23))
    assert sent_so_far(database) == {"Number 1": 200}
    run_until_idle(database, NOW + timedelta(days=3))
    assert sent_so_far(database) == {"Number 1": 200, "Number 2": 200}
    run_until_idle(database, NOW + timedelta(days=9, hours=23))
    assert sent_so_far(database)["Number 2"] == 200
    run_until_idle(database, NOW + timedelta(days=10))
    assert sent_so_far(database) == {"Number 1": 200, "Number 2": 200, "Number 3": 200}
    with database.transaction() as connection:
        kept = connection.execute(
            "SELECT id, step_number, day_delay FROM campaign_steps"
            " WHERE node_type = 'email' ORDER BY step_number"
        ).fetchall()
        shape = connection.execute(
            "SELECT jsonb_array_length(canvas_data->'nodes'),"
            " jsonb_array_length(canvas_data->'edges') FROM drip_campaigns"
        ).fetchone()
        done = connection.execute(
            "SELECT status, count(*) FROM campaign_enrollments GROUP BY 1"
        ).fetchall()
    assert kept == [(steps[0], 1, 0), (steps[1], 2, 3), (steps[2], 3, 7)]
    assert shape == (7, 6)
    assert done == [("completed", 200)]


def test_enrollments_in_progress_continue_at_their_next_message(database: Database) -> None:
    with database.transaction() as connection:
        workspace, campaign, _ = a_legacy_campaign(connection)
        people = contacts(connection, workspace, 6)
        enrolled_before(connection, campaign, people[:1])
        enrolled_before(
            connection,
            campaign,
            people[1:3],
            current_step=1,
            last_email_sent_at=NOW - timedelta(days=1),
        )
        enrolled_before(
            connection,
            campaign,
            people[3:4],
            current_step=2,
            last_email_sent_at=NOW - timedelta(days=1),
            next_email_scheduled_at=NOW + timedelta(hours=5),
        )
        enrolled_before(connection, campaign, people[4:], current_step=3, last_email_sent_at=NOW)
    adopt_legacy(database, OPTIONS)
    run_until_idle(database)
    assert sent_so_far(database) == {"Number 1": 1}
    run_until_idle(database, NOW + timedelta(hours=5))
    assert sent_so_far(database) == {"Number 1": 1, "Number 3": 1}
    run_until_idle(database, NOW + timedelta(days=2))
    assert sent_so_far(database) == {"Number 1": 1, "Number 2": 2, "Number 3": 1}
    with database.transaction() as connection:
        completed = connection.execute(
            "SELECT count(*) FROM campaign_workflow_states WHERE workflow_status = 'completed'"
        ).fetchone()
    assert completed == (3,)


def test_current_step_may_be_the_number_of_the_next_step(database: Database) -> None:
    with database.transaction() as connection:
        workspace, campaign, _ = a_legacy_campaign(connection)
        people = contacts(connection, workspace, 2)
        enrolled_before(connection, campaign, people[:1], current_step=1)
        enrolled_before(
            connection,
            campaign,
            people[1:],
            current_step=2,
            last_email_sent_at=NOW - timedelta(days=3),
        )
    adopt_legacy(database, OPTIONS)
    run_until_idle(database)
    assert sent_so_far(database) == {"Number 1": 1, "Number 2": 1}


def test_adopting_twice_changes_nothing_and_drafts_only_get_nodes(
    database: Database,
) -> None:
    with database.transaction() as connection:
        a_legacy_campaign(connection, status="draft")
        a_legacy_campaign(connection, status="paused")
    first = adopt_legacy(database, OPTIONS)
    again = adopt_legacy(database, OPTIONS)
    assert sorted(one.version or 0 for one in first.adopted) == [0, 1]
    assert (again.adopted, again.refused) == ([], {})
    with database.transaction() as connection:
        found = connection.execute(
            "SELECT status, published_version FROM drip_campaigns ORDER BY status"
        ).fetchall()
    assert found == [("draft", None), ("paused", 1)]


def test_a_campaign_that_cannot_run_is_unchanged_and_reported(database: Database) -> None:
    with database.transaction() as connection:
        _, campaign, steps = a_legacy_campaign(connection)
        connection.execute(
            "UPDATE campaign_steps SET subject_line = '', email_body = '' WHERE id = %s", [steps[1]]
        )
        a_legacy_campaign(connection)
    report = adopt_legacy(database, OPTIONS)
    assert len(report.adopted) == 1
    assert set(report.refused) == {"Old welcome"}
    with database.transaction() as connection:
        left = connection.execute(
            "SELECT published_version FROM drip_campaigns WHERE id = %s", [campaign]
        ).fetchone()
    assert left == (None,)


def test_an_email_that_cannot_be_prepared_leaves_its_campaign_unchanged(
    database: Database,
) -> None:
    with database.transaction() as connection:
        _, _, steps = a_legacy_campaign(connection)
        connection.execute(
            "UPDATE campaign_steps SET email_body = '', email_body_html = %s WHERE id = %s",
            ["<style>p {color: red}</style><p>{% if a %}<a {% endif %}>x", steps[1]],
        )
    report = adopt_legacy(database, OPTIONS)
    assert report.adopted == []
    (reasons,) = report.refused.values()
    assert "the email cannot be prepared" in reasons[0]


def test_totals_of_a_legacy_database_reconcile_after_all_emails(
    empty_database: Database,
) -> None:
    with empty_database.transaction() as connection:
        legacy_database(connection)
    migrate(empty_database)
    report = adopt_legacy(empty_database, OPTIONS)
    assert report.refused == {}
    for day in range(16):
        run_until_idle(empty_database, NOW + timedelta(days=day))
    with empty_database.transaction() as connection:
        population = states_db.population(connection)
        held = connection.execute(
            "SELECT count(*) FROM campaign_enrollments WHERE status = 'paused'"
        ).fetchone()
        twice = connection.execute(
            "SELECT count(*) FROM (SELECT enrollment_id, node_id FROM recorded_messages"
            " GROUP BY 1, 2 HAVING count(*) > 1) d"
        ).fetchone()
    assert population
    assert held is not None
    assert sum(row.active for row in population) == held[0]
    for row in population:
        assert row.failed == 0
        assert row.entered == row.active + row.completed + row.exited
    assert twice == (0,)


def test_states_of_the_specification_s_migration_continue_and_are_counted(
    empty_database: Database,
) -> None:
    with empty_database.transaction() as connection:
        specification_database(connection)
    migrate(empty_database)
    report = adopt_legacy(empty_database, OPTIONS)
    assert report.refused == {}
    for day in range(16):
        run_until_idle(empty_database, NOW + timedelta(days=day))
    with empty_database.transaction() as connection:
        population = states_db.population(connection)
    assert population
    for row in population:
        assert row.campaign_version is not None
        ended = row.completed + row.exited + row.failed
        assert row.entered == row.active + ended
