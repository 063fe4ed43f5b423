from __future__ import annotations

import threading
from uuid import UUID

import pytest

from drip_pipeline.db.connection import Connection
from drip_pipeline.db.migrate import migrate
from drip_pipeline.errors import ConstraintViolated, DatabaseError
from tests.conftest import own_database
from tests.db.schema import existing_databases as found
from tests.db.schema.schema_rows import NOW, a_campaign, a_workspace

SNAPSHOT = "SELECT create_campaign_version_snapshot(%s, %s, %s)"


def snapshot(connection: Connection, campaign: UUID, description: str, kind: str = "draft") -> UUID:
    row = connection.execute(SNAPSHOT, [campaign, description, kind]).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def test_a_snapshot_holds_campaign_steps_and_canvas_under_the_next_number(database):
    with database.transaction() as connection:
        workspace = a_workspace(connection)
        campaign = a_campaign(connection, workspace, is_published=False)
        connection.execute(
            "INSERT INTO campaign_steps (campaign_id, step_number, step_name, node_id) "
            "VALUES (%s, 2, 'second', 'b'), (%s, 1, 'first', 'a')",
            [campaign, campaign],
        )
        connection.execute(
            "UPDATE drip_campaigns SET canvas_data = '{\"nodes\": [1]}' WHERE id = %s", [campaign]
        )
        first = snapshot(connection, campaign, "one", "published")
        snapshot(connection, campaign, "two")
        row = connection.execute(
            "SELECT version, campaign_snapshot, steps_snapshot, canvas_snapshot, workspace_id, "
            "change_description, change_type FROM campaign_versions WHERE id = %s",
            [first],
        ).fetchone()
        now = connection.execute("SELECT version FROM drip_campaigns WHERE id = %s", [campaign])
        assert now.fetchone() == (2,)
    assert row is not None
    version, of_campaign, of_steps, of_canvas, of_workspace, description, kind = row
    assert (version, description, kind) == (1, "one", "published")
    assert (of_campaign["id"], of_campaign["version"]) == (str(campaign), 1)
    assert [step["step_name"] for step in of_steps] == ["first", "second"]
    assert of_canvas == {"nodes": [1]}
    assert of_workspace == workspace


def test_a_campaign_without_steps_has_an_empty_list_of_them(database):
    with database.transaction() as connection:
        campaign = a_campaign(connection, a_workspace(connection), is_published=False)
        snapshot(connection, campaign, "bare")
        assert connection.execute("SELECT steps_snapshot FROM campaign_versions").fetchone() == (
            [],
        )


def test_the_time_of_a_snapshot_can_be_told(database):
    with database.transaction() as connection:
        campaign = a_campaign(connection, a_workspace(connection), is_published=False)
        connection.execute(
            "SELECT create_campaign_version_snapshot(%s, 'x', 'draft', %s)", [campaign, NOW]
        )
        assert connection.execute("SELECT created_at FROM campaign_versions").fetchone() == (NOW,)


def test_two_who_snapshot_at_once_get_one_number_after_the_other(database):
    with database.transaction() as connection:
        campaign = a_campaign(connection, a_workspace(connection), is_published=False)
    is_waiting = threading.Event()

    def second() -> None:
        with database.transaction() as connection:
            is_waiting.set()
            snapshot(connection, campaign, "second")

    with database.transaction() as connection:
        snapshot(connection, campaign, "first")
        other = threading.Thread(target=second)
        other.start()
        assert is_waiting.wait(10)
        # It comes no further than the campaign's row, however long this one takes.
        other.join(0.3)
        assert other.is_alive()
    other.join(10)
    with database.transaction() as connection:
        versions = connection.execute(
            "SELECT version, change_description FROM campaign_versions ORDER BY version"
        ).fetchall()
    assert versions == [(1, "first"), (2, "second")]


def test_a_version_number_stands_once(database):
    with database.transaction() as connection:
        a_campaign(connection, a_workspace(connection))
    with pytest.raises(ConstraintViolated), database.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_versions (campaign_id, workspace_id, version, campaign_snapshot, "
            "steps_snapshot) SELECT id, workspace_id, 1, '{}', '[]' FROM drip_campaigns"
        )


def test_a_campaign_that_does_not_exist_is_named(database):
    with (
        pytest.raises(DatabaseError, match="00000000-0000-0000-0000-000000000000"),
        database.transaction() as connection,
    ):
        snapshot(connection, UUID(int=0), "nothing")


def test_on_the_platform_the_author_is_who_is_signed_in(platform_url):
    with own_database(platform_url, "template0") as database:
        with database.transaction() as connection:
            found.legacy_database(connection, is_on_platform=True)
        migrate(database)
        with database.transaction() as connection:
            snapshot(connection, found.LEGACY_CAMPAIGN, "by nobody")
            connection.execute(
                "SELECT set_config('request.jwt.claim.sub', %s, true)", [str(found.NORTHERN_USER)]
            )
            snapshot(connection, found.LEGACY_CAMPAIGN, "by somebody")
            authors = connection.execute(
                "SELECT created_by FROM campaign_versions ORDER BY version"
            ).fetchall()
    assert authors == [(None,), (found.NORTHERN_USER,)]
