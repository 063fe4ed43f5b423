from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import sql

from drip_pipeline.db.connection import Connection, Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.errors import PermissionMissing
from tests.conftest import own_database
from tests.db.schema import existing_databases as found
from tests.db.schema.schema_rows import NOW, enroll, people, publish

PEOPLES_TABLES = (
    "campaign_workflow_states", "campaign_events", "campaign_versions", "campaign_ab_tests",
    "campaign_split_assignments", "campaign_ab_test_results", "campaign_deliveries",
    "campaign_message_outcomes", "recorded_messages", "campaign_suppressions", "contact_events",
    "campaign_daily_metrics", "rejected_contacts", "rejected_cells",
)  # fmt: skip
OPEN_TABLES = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
"""

ROW_IN_EVERY_TABLE = """
INSERT INTO campaign_ab_tests (id, workspace_id, campaign_id, split_node_id, test_number, config,
    config_hash, campaign_versions, started_at)
VALUES (%(id)s, %(workspace)s, %(campaign)s, 'fork', 1, '{}', '', '{1}', now());
INSERT INTO campaign_split_assignments (enrollment_id, split_node_id, workspace_id, campaign_id,
    campaign_version, contact_id, variant_group, assigned_at)
VALUES (%(enrollment)s, 'fork', %(workspace)s, %(campaign)s, 1, %(contact)s, 'a', now());
INSERT INTO campaign_ab_test_results (workspace_id, campaign_id, variant_group)
VALUES (%(workspace)s, %(campaign)s, 'a');
INSERT INTO campaign_deliveries (id, workspace_id, campaign_id, campaign_version, enrollment_id,
    contact_id, node_id, channel, due_at, created_at)
VALUES (%(id)s, %(workspace)s, %(campaign)s, 1, %(enrollment)s, %(contact)s, 'n', 'email', now(),
    now());
INSERT INTO campaign_message_outcomes (message_id, workspace_id, campaign_id, campaign_version,
    enrollment_id, contact_id, node_id, channel, sent_at)
VALUES (%(id)s, %(workspace)s, %(campaign)s, 1, %(enrollment)s, %(contact)s, 'n', 'email', now());
INSERT INTO recorded_messages (delivery_id, workspace_id, campaign_id, enrollment_id, node_id,
    channel, recipient, recorded_at)
VALUES (%(id)s, %(workspace)s, %(campaign)s, %(enrollment)s, 'n', 'email', 'x@example.com', now());
INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at)
VALUES (%(workspace)s, 'x@example.com', 'manual', now());
INSERT INTO contact_events (workspace_id, contact_id, event_type, occurred_at)
VALUES (%(workspace)s, %(contact)s, 'purchase', now());
INSERT INTO campaign_daily_metrics (metric_date, workspace_id, campaign_id, campaign_version,
    node_id, channel) VALUES ('2026-03-02', %(workspace)s, %(campaign)s, 1, 'n', 'email');
INSERT INTO rejected_cells (workspace_id, source, line_number, column_name, reason, cell,
    rejected_at)
VALUES (%(workspace)s, 'list', 1, 'phone', 'broken', 'x', now());
INSERT INTO rejected_contacts (workspace_id, source, line_number, reason, rejected_at)
VALUES (%(workspace)s, 'f', 1, 'r', now());
"""


@pytest.fixture(scope="module")
def hosted(platform_url) -> Iterator[Database]:
    """A migrated database on the platform, with a row of each of two workspaces in every table."""
    with own_database(platform_url, "template0") as database:
        with database.transaction() as connection:
            found.legacy_database(connection, is_on_platform=True)
        migrate(database)
        with database.transaction() as connection:
            connection.execute("SELECT ensure_event_partitions(%s)", [NOW])
            for workspace in (found.NORTH, found.SOUTH):
                fill(connection, workspace)
        yield database


def fill(connection: Connection, workspace: UUID) -> None:
    campaign = found.LEGACY_CAMPAIGN if workspace == found.NORTH else found.SOUTHERN_CAMPAIGN
    publish(connection, campaign)
    (contact,) = people(connection, workspace, 1)
    (enrollment,) = enroll(connection, campaign, [contact])
    named = {"workspace": workspace, "campaign": campaign, "contact": contact}
    named |= {"enrollment": enrollment, "id": enrollment}
    for statement in ROW_IN_EVERY_TABLE.split(";\n"):
        if statement.strip():
            connection.execute(statement, named)


@contextmanager
def acting(database: Database, role: str, user: UUID | None = None) -> Iterator[Connection]:
    """A transaction as one of the platform's requests; undone at the end."""
    with database.transaction() as connection:
        connection.execute(
            "SELECT set_config('request.jwt.claim.sub', %s, true)", [str(user) if user else ""]
        )
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        yield connection
        connection.rollback()


def seen(connection: Connection, table: str) -> list[Any]:
    rows = connection.execute(f"SELECT DISTINCT workspace_id FROM {table}").fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    "build", [found.empty_database, found.legacy_database, found.specification_database]
)
def test_no_table_is_left_open_on_the_platform(platform_url, build):
    with own_database(platform_url, "template0") as database:
        with database.transaction() as connection:
            build(connection, is_on_platform=True)
            own = {row[0] for row in connection.execute(OPEN_TABLES)}
        migrate(database)
        with database.transaction() as connection:
            connection.execute("SELECT ensure_event_partitions(%s)", [NOW])
            left = {row[0] for row in connection.execute(OPEN_TABLES)}
    # The fixtures' application left two of its own open.
    assert left <= own & {"event_notes", "event_counters"}


@pytest.mark.parametrize("on_platform", [False, True], ids=["plain", "platform"])
def test_an_owner_without_special_rights_can_migrate(server_url, platform_url, on_platform):
    """On hosted platforms nobody is a superuser."""
    url = platform_url if on_platform else server_url
    with own_database(url, "template0") as database:
        owner = f"owner_{uuid4().hex}"
        with database.transaction() as connection:
            found.empty_database(connection, is_on_platform=on_platform)
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner)))
            connection.execute(
                sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {}").format(sql.Identifier(owner))
            )
            if on_platform:
                connection.execute(
                    sql.SQL(
                        "GRANT USAGE ON SCHEMA auth TO {0}; GRANT REFERENCES ON auth.users TO {0}"
                    ).format(sql.Identifier(owner))
                )
        try:
            with Database(f"{database.url}?options=-c%20role%3D{owner}") as theirs:
                with theirs.transaction() as connection:
                    for fixture in ("base_tables", "base_people", "specification"):
                        found.run_fixture(connection, fixture)
                    found.run_fixture(connection, "specification_data")
                migrate(theirs)
                with theirs.transaction() as connection:
                    assert connection.execute("SELECT current_user").fetchone() == (owner,)
                    made = connection.execute("SELECT ensure_event_partitions(%s)", [NOW])
                    assert made.fetchone() == (4,)
                    publish(connection, found.LEGACY_CAMPAIGN)
                    states = connection.execute(
                        "SELECT count(*) FROM get_next_workflow_executions(500, 'infinity')"
                    ).fetchone()
                    assert states == (26,)
        finally:
            with database.transaction() as connection:
                connection.execute(
                    sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(
                        sql.Identifier(owner)
                    )
                )


@pytest.mark.parametrize("table", PEOPLES_TABLES)
def test_signed_in_people_see_their_own_workspaces_rows_and_no_others(hosted, table):
    with acting(hosted, "authenticated", found.NORTHERN_USER) as connection:
        assert seen(connection, table) == [found.NORTH]
    with acting(hosted, "authenticated", found.SOUTHERN_USER) as connection:
        assert seen(connection, table) == [found.SOUTH]
    with acting(hosted, "authenticated", found.named("user-nobody")) as connection:
        assert seen(connection, table) == []
    with hosted.transaction() as connection:
        assert sorted(seen(connection, table)) == sorted([found.NORTH, found.SOUTH])


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_anybody_else_sees_nothing_in_any_table(hosted, role):
    with hosted.transaction() as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p') ORDER BY 1"
        ).fetchall()
    visible = []
    for (name,) in tables:
        try:
            with acting(hosted, role) as connection:
                if connection.execute(f"SELECT 1 FROM {name}").fetchone():
                    visible.append(name)
        except PermissionMissing:
            pass
    assert visible == []
    assert len(tables) > 30


def test_the_service_sees_and_writes_everything(hosted):
    with acting(hosted, "service_role") as connection:
        for table in PEOPLES_TABLES:
            assert sorted(seen(connection, table)) == sorted([found.NORTH, found.SOUTH])
        connection.execute("UPDATE campaign_workflow_states SET retry_count = 1")
        connection.execute("INSERT INTO campaign_events (event_type) VALUES ('converted')")


@pytest.mark.parametrize("partition", ["campaign_events_default", "campaign_events_2026_03"])
def test_the_logs_partitions_are_no_way_round(hosted, partition):
    with hosted.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_events (event_type, created_at, workspace_id) "
            "VALUES ('converted', '1999-01-01', %s), ('converted', '1999-01-01', %s)",
            [found.NORTH, found.SOUTH],
        )
    with acting(hosted, "authenticated", found.NORTHERN_USER) as connection:
        assert seen(connection, partition) == [found.NORTH]
    with pytest.raises(PermissionMissing), acting(hosted, "anon") as connection:
        seen(connection, partition)


def test_the_specifications_rule_that_opened_everything_is_gone(platform_url):
    with own_database(platform_url, "template0") as database:
        with database.transaction() as connection:
            found.specification_database(connection, is_on_platform=True)
        with acting(database, "anon") as connection:
            assert connection.execute("SELECT FROM campaign_events").fetchone() is not None
        migrate(database)
        with pytest.raises(PermissionMissing), acting(database, "anon") as connection:
            connection.execute("SELECT FROM campaign_events")
        with acting(database, "authenticated", found.NORTHERN_USER) as connection:
            assert len(connection.execute("SELECT FROM campaign_events").fetchall()) == 104


def test_signed_in_people_can_enrol_and_write_nothing_else(hosted):
    with acting(hosted, "authenticated", found.NORTHERN_USER) as connection:
        contacts = people(connection, found.NORTH, 2)
        enrollments = enroll(connection, found.LEGACY_CAMPAIGN, contacts)
        states = connection.execute(
            "SELECT workflow_status FROM campaign_workflow_states WHERE id = ANY (%s)",
            [enrollments],
        ).fetchall()
        assert states == [("running",), ("running",)]
    for statement in (
        "UPDATE campaign_workflow_states SET retry_count = 9",
        (
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at) "
            f"VALUES ('{found.NORTH}', 'y@example.com', 'manual', now())"
        ),
    ):
        with (
            pytest.raises(PermissionMissing),
            acting(hosted, "authenticated", found.NORTHERN_USER) as connection,
        ):
            connection.execute(statement)


@pytest.mark.parametrize(
    "claim", ["claim_due_states(100, 'infinity')", "get_next_workflow_executions(100, 'infinity')"]
)
def test_nobody_but_the_engine_claims(hosted, claim):
    for role in ("anon", "authenticated"):
        with (
            pytest.raises(PermissionMissing),
            acting(hosted, role, found.NORTHERN_USER) as connection,
        ):
            connection.execute(f"SELECT FROM {claim}")
    with hosted.transaction() as connection:
        assert connection.execute(f"SELECT FROM {claim}").fetchone() is not None
        connection.rollback()


def test_the_migrations_tools_are_not_offered_to_the_world(hosted):
    with hosted.transaction() as connection:
        tools = connection.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE proname LIKE 'drip\\_%'"
        ).fetchall()
        offered = [
            (role, tool)
            for (tool,) in tools
            for role in found.PLATFORM_ROLES
            if connection.execute(
                "SELECT has_function_privilege(%s, %s, 'EXECUTE')", [role, tool]
            ).fetchone()
            == (True,)
        ]
    assert len(tools) >= 7
    assert offered == []


def test_functions_with_the_owners_rights_cannot_be_led_astray(hosted):
    """A caller's own temporary table must not stand in for a real one."""
    with hosted.transaction() as connection:
        paths = connection.execute(
            "SELECT proname, proconfig FROM pg_proc "
            "WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert paths
    assert all("search_path=public, pg_temp" in (config or ()) for _, config in paths)


def test_rates_are_told_only_to_the_workspace(hosted):
    rates = "SELECT FROM calculate_ab_test_metrics(%s)"
    with hosted.transaction() as connection:
        connection.execute('UPDATE campaign_ab_tests SET config = \'{"variants": [{"id": "a"}]}\'')
    with acting(hosted, "authenticated", found.NORTHERN_USER) as connection:
        assert len(connection.execute(rates, [found.LEGACY_CAMPAIGN]).fetchall()) == 1
        assert connection.execute(rates, [found.SOUTHERN_CAMPAIGN]).fetchall() == []


def test_without_the_platform_nothing_is_secured_by_rows(database):
    with database.transaction() as connection:
        secured = connection.execute("SELECT count(*) FROM pg_policy").fetchone()
        roles = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(found.PLATFORM_ROLES)]
        ).fetchall()
    assert roles == []
    assert secured == (0,)
