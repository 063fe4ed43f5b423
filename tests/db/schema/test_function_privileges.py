"""What each role may execute, against the list in function_privileges.txt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.settings import CHECKOUT
from tests.conftest import own_database
from tests.db.schema import existing_databases as found
from tests.db.schema.schema_rows import NOW

LIST = Path(__file__).parent / "function_privileges.txt"
ENGINE_ROLES = ("drip_engine", "drip_ingest", "drip_trigger", "drip_read")
SERVERS = ("service_role", *ENGINE_ROLES)
ROLES = (*found.PLATFORM_ROLES, *ENGINE_ROLES)
# Its own table with the engine's trigger would queue contacts of any workspace.
OWN_TABLE_WITH_TRIGGER = """
CREATE TEMPORARY TABLE mine (id uuid);
CREATE TRIGGER t AFTER INSERT ON mine REFERENCING NEW TABLE AS new_events
FOR EACH STATEMENT EXECUTE FUNCTION queue_contact_events()
"""
OWN_FUNCTIONS = """
SELECT p.oid::regprocedure::text, p.prosecdef, coalesce(p.proconfig, '{}')
FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND p.proname <> 'touch_updated_at'  -- of the fixture
ORDER BY p.oid::regprocedure::text COLLATE "C"
"""


@pytest.fixture(scope="module")
def hosted(platform_url: str) -> Iterator[Database]:
    """A migrated database on the platform, with the engine's roles."""
    with own_database(platform_url, "template0") as database:
        with database.transaction() as connection:
            found.legacy_database(connection, is_on_platform=True)
        migrate(database)
        run_roles(database)
        with database.transaction() as connection:
            connection.execute("SELECT ensure_event_partitions(%s)", [NOW])
        yield database
        with database.transaction() as connection:
            for role in ("drip_owner", *ENGINE_ROLES):
                name = sql.Identifier(role)
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(name))
                connection.execute(sql.SQL("DROP OWNED BY {}").format(name))


def run_roles(database: Database) -> None:
    script = CHECKOUT / "deploy" / "postgres" / "roles.sql"
    with psycopg.connect(database.url) as connection:
        connection.execute(script.read_text(encoding="utf-8").encode())


def executable(database: Database) -> dict[str, str]:
    """For each function, who may execute it: 'everybody', 'nobody', or the roles' names, with
    'servers' for the service and the engine's roles.
    """
    with database.transaction() as connection:
        functions = [name for name, *_ in connection.execute(OWN_FUNCTIONS).fetchall()]
        granted = {}
        for function in functions:
            roles = [
                role
                for role in ROLES
                if connection.execute(
                    "SELECT has_function_privilege(%s, %s, 'EXECUTE')", [role, function]
                ).fetchone()
                == (True,)
            ]
            public = connection.execute(
                "SELECT has_function_privilege('public', %s, 'EXECUTE')", [function]
            ).fetchone()
            names = ", ".join(roles).replace(", ".join(SERVERS), "servers")
            granted[function] = "everybody" if public == (True,) else names or "nobody"
    return granted


def listed() -> dict[str, str]:
    lines = LIST.read_text(encoding="utf-8").splitlines()
    pairs = (line.rpartition(": ") for line in lines if line and not line.startswith("#"))
    return {function: roles for function, _, roles in pairs}


def test_roles_may_execute_exactly_the_functions_in_the_list(hosted):
    assert executable(hosted) == listed()


@pytest.mark.parametrize("are_roles_first", [True, False])
def test_the_privileges_do_not_depend_on_the_order_of_roles_and_migrations(
    platform_url, are_roles_first
):
    with own_database(platform_url, "template0") as database:
        with database.transaction() as connection:
            found.empty_database(connection, is_on_platform=True)
        try:
            if are_roles_first:
                run_roles(database)
            migrate(database)
            if not are_roles_first:
                run_roles(database)
            assert executable(database) == listed()
        finally:
            with database.transaction() as connection:
                for role in ("drip_owner", *ENGINE_ROLES):
                    connection.execute(
                        sql.SQL("REASSIGN OWNED BY {0} TO CURRENT_USER; DROP OWNED BY {0}").format(
                            sql.Identifier(role)
                        )
                    )


def test_functions_with_the_owners_rights_are_granted_to_nobody_by_default(hosted):
    with hosted.transaction() as connection:
        functions = connection.execute(OWN_FUNCTIONS).fetchall()
    powerful = [(name, config) for name, is_definer, config in functions if is_definer]
    granted = listed()
    assert len(powerful) >= 11
    for name, config in powerful:
        assert "search_path=public, pg_temp" in config, name
        assert granted[name] != "everybody", name
        assert not set(granted[name].split(", ")) & set(found.PLATFORM_ROLES), name


@pytest.mark.parametrize("role", found.PLATFORM_ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT detach_event_month('2026-03-01', now())",
        "SELECT drop_archived_month(1, 'x', 0, now())",
        "SELECT ensure_event_partitions('2030-01-01')",
        OWN_TABLE_WITH_TRIGGER,
    ],
)
def test_the_platforms_roles_cannot_call_functions_with_the_owners_rights(hosted, role, statement):
    with psycopg.connect(hosted.url) as connection:
        connection.execute(
            sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(
                sql.Identifier(hosted.url.rpartition("/")[2]), sql.Identifier(role)
            )
        )
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for"):
            connection.execute(statement.encode())
        connection.rollback()
    with hosted.transaction() as connection:
        assert connection.execute("SELECT to_regclass('campaign_events_2026_03')").fetchone() != (
            None,
        )
