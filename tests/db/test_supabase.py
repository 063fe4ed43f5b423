"""On Supabase: what its public roles may do, and a campaign from import to metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from click.testing import CliRunner

from drip_pipeline.cli import main
from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.db.queries import SQL_FOLDER
from drip_pipeline.errors import PermissionMissing
from drip_pipeline.settings import CHECKOUT
from tests.db.schema.schema_rows import NOW, a_campaign, a_workspace, people
from tests.db.supabase import PUBLIC_ROLES, Supabase, as_user, supabase_database

LIST = Path(__file__).parent / "schema" / "relation_privileges.txt"
DEPLOY = CHECKOUT / "deploy" / "postgres"
ENGINE_ROLES = ("drip_owner", "drip_engine", "drip_ingest", "drip_trigger", "drip_read")
# Privileges on a column count as well.
HELD = """
SELECT c.relname::text, r.name, array_agg(p.name ORDER BY p.name) FILTER (
    WHERE CASE
        WHEN c.relkind = 'S' THEN
            p.name IN ('SELECT', 'UPDATE', 'USAGE')
            AND has_sequence_privilege(r.name, c.oid, p.name)
        WHEN p.name = 'USAGE' THEN false
        WHEN p.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') THEN
            has_any_column_privilege(r.name, c.oid, p.name)
        ELSE has_table_privilege(r.name, c.oid, p.name)
    END
)
FROM pg_class c
CROSS JOIN unnest(ARRAY['anon', 'authenticated']) AS r (name)
CROSS JOIN unnest(ARRAY[
    'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'USAGE'
]) AS p (name)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
GROUP BY c.relname, r.name
ORDER BY c.relname COLLATE "C", r.name
"""
LATER_MIGRATION = """
CREATE TABLE later_rows (id bigint GENERATED ALWAYS AS IDENTITY, workspace_id uuid, x text);
CREATE TABLE later_settings (id serial PRIMARY KEY, x text);
CREATE VIEW later_view AS SELECT x FROM later_settings;
CREATE VIEW later_rows_view WITH (security_invoker = true) AS SELECT x FROM later_rows;
CREATE FUNCTION later_function() RETURNS integer LANGUAGE sql AS 'SELECT 1';
SELECT drip_protect_table('later_rows');
"""
CAMPAIGN = """
name: Welcome
steps:
  - {node_id: hi, node_type: email, channel_config: {email: {subject: Hi, body: Hello}}}
"""


@pytest.fixture(scope="module")
def project(platform_url: str) -> Iterator[Supabase]:
    """A migrated project with the engine's roles, and two workspaces with a member each."""
    with supabase_database(platform_url) as project:
        adopt_engine_roles(project)
        with project.owner.transaction() as connection:
            connection.execute("SET drip.keep_owner = 'on'")
            connection.execute(script("roles.sql"))
        migrate(project.owner)
        with project.owner.transaction() as connection:
            connection.execute("SET drip.keep_owner = 'on'")
            connection.execute(script("roles.sql"))
            connection.execute(script("supabase.sql"))
            connection.execute(script("supabase.sql"))
            connection.execute("SELECT ensure_event_partitions(%s)", [NOW])
        yield project
        drop_engine_roles(project)


def script(name: str) -> bytes:
    return (DEPLOY / name).read_text(encoding="utf-8").encode()


def adopt_engine_roles(project: Supabase) -> None:
    """Make the owner the administrator of the roles that other tests created on the server, as it
    is of those that it creates itself.
    """
    with psycopg.connect(project.admin.url, autocommit=True) as connection:
        for role in ENGINE_ROLES:
            if connection.execute("SELECT to_regrole(%s)", [role]).fetchone() != (None,):
                connection.execute(
                    f"GRANT {role} TO {project.owner_name} WITH ADMIN OPTION".encode()
                )


def drop_engine_roles(project: Supabase) -> None:
    """Roles belong to the whole server, which other tests of the platform use."""
    with psycopg.connect(project.admin.url, autocommit=True) as connection:
        for role in ("drip_app", *ENGINE_ROLES):
            if connection.execute("SELECT to_regrole(%s)", [role]).fetchone() != (None,):
                connection.execute(f"DROP OWNED BY {role} CASCADE".encode())


def held(database: Database) -> str:
    """The privileges of the public roles, as relation_privileges.txt has them."""
    with database.transaction() as connection:
        rows = connection.execute(HELD.encode()).fetchall()
    lines: dict[str, list[str]] = {}
    for relation, role, privileges in rows:
        if privileges:
            lines.setdefault(relation, []).append(f"{role} {' '.join(privileges)}")
        else:
            lines.setdefault(relation, [])
    return "".join(f"{name}: {'; '.join(parts) or 'nobody'}\n" for name, parts in lines.items())


def listed() -> str:
    lines = LIST.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#"))


def test_the_fixture_grants_what_the_platform_grants(platform_url):
    with supabase_database(platform_url) as bare:
        with bare.owner.transaction() as connection:
            connection.execute("CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY)")
            assert connection.execute("SELECT current_user").fetchone() == (bare.owner_name,)
        with bare.request("anon") as request:
            request.execute("SELECT FROM notes")
            request.execute("TRUNCATE notes")
            assert request.execute("SELECT auth.uid(), auth.role()").fetchone() == (None, "anon")
        with pytest.raises(PermissionMissing), bare.owner.transaction() as own:
            own.execute("SET session_replication_role = replica")


def test_public_roles_have_exactly_the_privileges_in_the_list(project):
    """If this fails for a new table: add its line, after deciding who may read it."""
    assert held(project.owner) == listed()


def test_views_run_with_the_rights_of_the_caller(project):
    with project.owner.transaction() as connection:
        views = connection.execute(
            "SELECT relname, coalesce(reloptions, '{}') FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'"
        ).fetchall()
    assert len(views) >= 3
    assert [name for name, options in views if "security_invoker=true" not in options] == []


def test_a_later_migration_grants_public_roles_nothing(platform_url, tmp_path):
    copytree(SQL_FOLDER, tmp_path / "sql")
    with supabase_database(platform_url) as project:
        migrate(project.owner, folder=tmp_path / "sql")
        before = held(project.owner)
        (tmp_path / "sql/migrations/9999_later.sql").write_text(LATER_MIGRATION)
        migrate(project.owner, folder=tmp_path / "sql")
        added = set(held(project.owner).splitlines()) - set(before.splitlines())
        assert added == {
            "later_rows: authenticated SELECT",
            "later_rows_id_seq: nobody",
            "later_rows_view: authenticated SELECT",
            "later_settings: nobody",
            "later_settings_id_seq: nobody",
            "later_view: nobody",
        }
        with project.owner.transaction() as connection:
            executable = connection.execute(
                "SELECT r FROM unnest(ARRAY['anon', 'authenticated', 'public']) r"
                " WHERE has_function_privilege(r, 'later_function()', 'EXECUTE')"
            ).fetchall()
        assert executable == []


def test_a_plain_database_that_was_restored_on_the_platform_is_closed(platform_url):
    """Its dump has no policies, and the platform grants everything on what a restore creates."""
    with supabase_database(platform_url) as project:
        migrate(project.owner)
        wanted = held(project.owner)
        with project.owner.transaction() as connection:
            for table, name in connection.execute(
                "SELECT polrelid::regclass::text, polname FROM pg_policy"
            ).fetchall():
                connection.execute(f'DROP POLICY "{name}" ON {table}'.encode())
            for (table,) in connection.execute(
                "SELECT oid::regclass::text FROM pg_class WHERE relrowsecurity"
                " AND relnamespace = 'public'::regnamespace"
            ).fetchall():
                connection.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY".encode())
            connection.execute(
                "GRANT ALL ON ALL TABLES IN SCHEMA public TO anon, authenticated;"
                "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO anon, authenticated;"
                "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC, anon, authenticated"
            )
        report = migrate(project.owner)
        # Who created the base tables is not known: they are the application's, and are named.
        assert report.applied == ()
        assert report.open_tables == (
            "campaign_channels", "campaign_enrollments", "campaign_steps", "contacts",
            "drip_campaigns", "workspaces",
        )  # fmt: skip
        own = [line for line in wanted.splitlines() if line.split(":")[0] not in report.open_tables]
        assert [
            line
            for line in held(project.owner).splitlines()
            if line.split(":")[0] not in report.open_tables
        ] == own
        with project.owner.transaction() as connection:
            claims = connection.execute(
                "SELECT has_function_privilege('anon', p.oid, 'EXECUTE') FROM pg_proc p"
                " WHERE proname = 'claim_due_states'"
            ).fetchall()
        assert claims == [(False,)]


def test_public_roles_cannot_truncate_or_call_the_engine(project):
    with project.owner.transaction() as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace = 'public'::regnamespace"
        ).fetchall()
    statements = [f"TRUNCATE {table} CASCADE" for (table,) in tables] + [
        "SELECT claim_due_states(100, 'infinity')",
        "SELECT enter_enrollments('{}')",
        "SELECT create_campaign_version_snapshot(gen_random_uuid(), 'x', 'draft')",
        "SELECT sync_entry_trigger(gen_random_uuid())",
        "SELECT drip_set_privileges()",
        "SELECT nextval('event_inbox_id_seq')",
    ]
    assert len(tables) > 40
    for role in PUBLIC_ROLES:
        for statement in statements:
            with (
                project.request(role, uuid4()) as request,
                pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"),
            ):
                request.execute(statement.encode())


def test_the_engine_reads_partitions_that_are_created_later(project):
    with project.admin.transaction() as connection:
        connection.execute(
            "INSERT INTO campaign_events (event_type, created_at) VALUES ('converted', %s)", [NOW]
        )
        connection.execute("SET LOCAL ROLE drip_engine")
        seen = connection.execute("SELECT count(*) FROM campaign_events_2026_03").fetchone()
        connection.rollback()
    assert seen == (1,)


@pytest.fixture(scope="module")
def members(project) -> tuple[dict[str, UUID], dict[str, UUID]]:
    """For each of two workspaces: its id, a member, a campaign and a contact."""
    made = []
    with project.owner.transaction() as connection:
        for _ in range(2):
            workspace, user = a_workspace(connection), uuid4()
            connection.execute("INSERT INTO auth.users (id) VALUES (%s)", [user])
            connection.execute("INSERT INTO workspace_members VALUES (%s, %s)", [workspace, user])
            (contact,) = people(connection, workspace, 1)
            campaign = a_campaign(connection, workspace)
            made.append(
                {"workspace": workspace, "user": user, "contact": contact, "campaign": campaign}
            )
    return made[0], made[1]


def test_a_member_sees_and_edits_the_own_workspace_and_no_other(project, members):
    own, other = members
    with project.request("authenticated", own["user"]) as request:
        for table, column in (("workspaces", "id"), ("contacts", "workspace_id")):
            seen = request.execute(f"SELECT DISTINCT {column} FROM {table}".encode()).fetchall()
            assert seen == [(own["workspace"],)], table
        mine = request.execute("UPDATE contacts SET name = 'x', tags = '{a}' RETURNING id")
        assert mine.fetchall() == [(own["contact"],)]
        request.execute(
            "INSERT INTO contacts (workspace_id, email, phone)"
            " VALUES (%s, 'É@exämple.com', '0151')",
            [own["workspace"]],
        )
        request.execute(
            "INSERT INTO campaign_enrollments (campaign_id, contact_id) VALUES (%s, %s)",
            [own["campaign"], own["contact"]],
        )
        states = request.execute("SELECT workspace_id FROM campaign_workflow_states").fetchall()
        assert states == [(own["workspace"],)]
        events = request.execute("SELECT DISTINCT workspace_id FROM campaign_events").fetchall()
        assert events == [(own["workspace"],)]
        assert request.execute("UPDATE drip_campaigns SET name = 'y'").rowcount == 1
        deleted = request.execute("DELETE FROM contacts WHERE id = %s", [other["contact"]])
        assert deleted.rowcount == 0
    nobody = uuid4()
    for role, user in (("anon", None), ("authenticated", nobody)):
        with project.request(role, user) as request:
            try:
                assert request.execute("SELECT FROM contacts").fetchall() == []
                assert role == "authenticated"
            except psycopg.errors.InsufficientPrivilege:
                assert role == "anon"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO contacts (workspace_id, email) VALUES (%(workspace)s, 'x@example.com')",
        (
            "INSERT INTO campaign_enrollments (campaign_id, contact_id)"
            " VALUES (%(campaign)s, %(contact)s)"
        ),
        (
            "INSERT INTO campaign_enrollments (campaign_id, contact_id)"
            " VALUES (%(own_campaign)s, %(contact)s)"
        ),
        (
            "INSERT INTO campaign_enrollments (campaign_id, contact_id, workspace_id)"
            " VALUES (%(own_campaign)s, %(own_contact)s, %(workspace)s)"
        ),
        "UPDATE contacts SET workspace_id = %(workspace)s",
        "UPDATE drip_campaigns SET workspace_id = %(workspace)s",
        "INSERT INTO workspace_members VALUES (%(workspace)s, auth.uid())",
        "INSERT INTO workspaces (name) VALUES ('x')",
        "UPDATE campaign_channels SET specs = '{}'",
        "DELETE FROM campaign_events",
        "UPDATE campaign_workflow_states SET retry_count = 0",
        (
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, created_at)"
            " VALUES (%(own_workspace)s, 'x', 'manual', now())"
        ),
        "SELECT FROM event_inbox_status",
        "SELECT FROM drip_schema_migrations",
    ],
)
def test_a_member_can_do_no_more(project, members, statement):
    own, other = members
    named = {**other, **{f"own_{key}": value for key, value in own.items()}}
    with (
        project.request("authenticated", own["user"]) as request,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        request.execute(statement.encode(), named)


def test_a_campaign_runs_as_the_documented_role(platform_url, tmp_path, monkeypatch):
    with ExitStack() as stack:
        project = stack.enter_context(supabase_database(platform_url))
        drip = cli(tmp_path, monkeypatch)
        drip(project.owner.url, "db", "migrate")
        adopt_engine_roles(project)
        try:
            with project.owner.transaction() as connection:
                connection.execute("SET drip.keep_owner = 'on'")
                connection.execute(script("roles.sql"))
                connection.execute(
                    "DO $$ BEGIN IF to_regrole('drip_app') IS NULL THEN"
                    " CREATE ROLE drip_app LOGIN PASSWORD 'fixture' IN ROLE drip_engine;"
                    " END IF; END $$"
                )
            app = as_user(project.admin.url, "drip_app", "fixture")
            (tmp_path / "people.csv").write_text("email,name\na@example.com,A\nb@example.com,B\n")
            (tmp_path / "welcome.yaml").write_text(CAMPAIGN)
            for arguments in (
                ["contacts", "import", str(tmp_path / "people.csv")],
                ["campaign", "publish", str(tmp_path / "welcome.yaml")],
                ["enroll", "Welcome", "--all"],
                ["run", "--until-idle"],
            ):
                drip(app, *arguments)
            with Database(app) as engine, engine.transaction() as connection:
                messages = connection.execute(
                    "SELECT message_id::text FROM campaign_message_outcomes"
                ).fetchall()
            assert len(messages) == 2
            (tmp_path / "events.ndjson").write_text(
                "".join(
                    f'{{"event_id": "{number}", "event_type": "email_opened",'
                    f' "occurred_at": "{datetime.now(UTC).isoformat()}",'
                    f' "message_id": "{message}"}}\n'
                    for number, (message,) in enumerate(messages)
                )
            )
            drip(app, "events", "ingest", str(tmp_path / "events.ndjson"))
            drip(app, "metrics", "refresh")
            drip(app, "metrics", "check")
            shown = drip(app, "metrics", "show", "Welcome", "--json")
            assert '"opened":2' in shown.replace(" ", "")
            assert "public roles" not in drip(app, "doctor")
            with project.owner.transaction() as connection:
                connection.execute(
                    "ALTER TABLE contacts DISABLE ROW LEVEL SECURITY;"
                    "GRANT SELECT (name) ON contacts TO anon;"
                    "GRANT TRUNCATE ON workspaces TO anon"
                )
            found = " ".join(drip(app, "doctor").split())
            assert "can reach without row-level security: contacts" in found
            assert "can truncate: workspaces" in found
            assert "REVOKE TRUNCATE, REFERENCES, TRIGGER ON workspaces" in found
        finally:
            drop_engine_roles(project)


def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run `drip` on the database of a URL; it must succeed."""
    monkeypatch.setenv("DRIP_HOME", str(tmp_path))

    def run(url: str, *arguments: str) -> Any:
        monkeypatch.setenv("DRIP_DATABASE_URL", url)
        done = CliRunner().invoke(main, list(arguments))
        assert done.exit_code == 0, (arguments, done.output, done.exception)
        return done.output

    return run
