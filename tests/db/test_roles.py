"""The least-privilege roles: each can do its work, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from filelock import FileLock
from psycopg import sql

from drip_pipeline.db.connection import Database
from drip_pipeline.db.database_role import short_time_limits, written_tables
from drip_pipeline.db.migrate import migrate, status
from drip_pipeline.db.migration_files import table_names
from drip_pipeline.domain.graph.nodes import TriggerConfig
from drip_pipeline.domain.templates.signed_tokens import Purpose, SignedLink, sign
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import CHECKOUT, Secret, Settings
from tests.conftest import own_database
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    a_workspace,
    an_event,
    contacts,
    enrolled,
    run_until_idle,
    the_workspace,
)
from tests.engine.graphs import email, end, graph, node
from tests.receiver.running import KEY, a_receiver

SCRIPT = CHECKOUT / "deploy" / "postgres" / "roles.sql"
ROLES = ("drip_owner", "drip_engine", "drip_ingest", "drip_trigger", "drip_read")
"""Roles belong to the whole server: tests that make them come one after the other."""


@pytest.fixture(scope="module")
def guarded(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database set up as the script says: roles, migrations as the owner, roles again."""
    lock = FileLock(tmp_path_factory.getbasetemp().parent / "roles.lock")
    with lock, own_database(server_url, "template0") as database:
        run_script(database)
        with as_role(database, "drip_owner") as owner:
            assert migrate(owner).applied
        for _ in range(2):
            run_script(database)
        yield database
        with psycopg.connect(database.url) as connection:
            for role in ROLES:
                name = sql.Identifier(role)
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(name))
                connection.execute(sql.SQL("DROP OWNED BY {}").format(name))


def run_script(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute(SCRIPT.read_text(encoding="utf-8").encode())


def as_role(database: Database, role: str) -> Database:
    """The same database, with every connection in that role."""
    return Database(f"{database.url}?options={quote(f'-c role={role}')}")


def refused(database: Database, role: str, statement: str) -> str:
    """What the server says to this role; the statement must fail for want of rights."""
    with psycopg.connect(database.url) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
            connection.execute(statement.encode())
        return str(caught.value)


def test_the_engine_role_runs_campaigns_from_publishing_to_metrics(guarded):
    assert rows(
        guarded, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    ) == [("drip_owner",)]
    with guarded.transaction() as connection:
        workspace = the_workspace(connection)
        contacts(connection, workspace, 20)
    with as_role(guarded, "drip_engine") as engine:
        assert status(engine).is_current
        with engine.transaction() as connection:
            tables = written_tables(connection, table_names())
            assert [table.name for table in tables if not table.is_writable] == []
            assert short_time_limits(connection) == []
        publish(
            engine,
            (CHECKOUT / "examples" / "onboarding.yaml").read_text(encoding="utf-8"),
            PublishOptions(now=NOW, settings=Settings(), workspace="Acme"),
        )
        ((name,),) = rows(engine, "SELECT name FROM drip_campaigns")
        assert enroll(engine, name, Everybody(), now=NOW).enrolled == 20
        run_until_idle(engine, now=NOW)
        ((message,), *_) = rows(engine, "SELECT message_id FROM campaign_message_outcomes")
        event = an_event(1, "email_opened", message_id=str(message))
        # Of a month that has no partition yet: the engine may have it made.
        later = (NOW + timedelta(days=70)).isoformat()
        taken = ingest_events(
            engine,
            [event, {**event, "event_id": "2", "occurred_at": later}],
            source="test",
            now=NOW + timedelta(days=71),
        )
        assert (taken.accepted, taken.rejected) == (2, {})
        assert aggregate_days(engine, [NOW.date()])[0].sent == 20


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE campaign_events",
        "TRUNCATE contacts",
        "ALTER TABLE contacts ADD COLUMN x text",
        "CREATE TABLE mine (x integer)",
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "DELETE FROM drip_schema_migrations",
        "DROP FUNCTION ensure_event_partitions(timestamptz)",
        "CREATE ROLE other",
    ],
)
def test_the_engine_role_cannot_create_or_drop(guarded, statement):
    refused(guarded, "drip_engine", statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO workspaces (name) VALUES ('x')",
        "UPDATE contacts SET name = 'x'",
        "DELETE FROM campaign_events",
        "SELECT ensure_event_partitions(now())",
        "SELECT receiver_unsubscribe(gen_random_uuid(), NULL, 'x', now())",
        # Bodies have working links for unsubscribing; payloads are as the provider sent them.
        "SELECT body FROM recorded_messages",
        "SELECT body_html FROM recorded_messages",
        "SELECT preheader, payload FROM recorded_messages",
        "SELECT * FROM recorded_messages",
        "SELECT payload FROM event_inbox",
        "SELECT context FROM event_inbox",
        "SELECT raw FROM rejected_events",
        "COPY (SELECT m FROM recorded_messages m) TO STDOUT",
    ],
)
def test_the_read_role_reads_and_cannot_write(guarded, statement):
    with as_role(guarded, "drip_read") as reader:
        assert rows(reader, "SELECT count(*) FROM contacts JOIN campaign_events ON true")
    refused(guarded, "drip_read", statement)


@pytest.mark.parametrize(
    ("view", "column"),
    [
        ("recorded_message_headers", "subject"),
        ("event_inbox_status", "reason"),
        ("rejected_event_reasons", "reason"),
    ],
)
def test_the_read_role_reads_views_without_content(guarded, view, column):
    with as_role(guarded, "drip_read") as reader:
        rows(reader, f"SELECT * FROM {view}")
        rows(reader, f"SELECT {column} FROM {view}")
    columns = rows(guarded, f"SELECT attname FROM pg_attribute WHERE attrelid = '{view}'::regclass")
    assert not {name for (name,) in columns} & {"body", "body_html", "payload", "context", "raw"}


def test_the_roles_can_use_tables_of_later_migrations(guarded):
    with as_role(guarded, "drip_owner") as owner, owner.transaction() as connection:
        connection.execute("CREATE TABLE later (id bigint GENERATED ALWAYS AS IDENTITY, x text)")
    with as_role(guarded, "drip_engine") as engine, engine.transaction() as connection:
        connection.execute("INSERT INTO later (x) VALUES ('a')")
    refused(guarded, "drip_read", "INSERT INTO later (x) VALUES ('a')")
    with as_role(guarded, "drip_read") as reader:
        assert rows(reader, "SELECT x FROM later") == [("a",)]


@pytest.fixture(scope="module")
def message(guarded: Database) -> Any:
    """The id of a sent message, of a campaign with a webhook trigger."""
    door = TriggerConfig.model_validate({"trigger": "webhook"})
    with guarded.transaction() as connection:
        workspace = a_workspace(connection, "Doors")
        made = a_published_campaign(
            connection,
            graph(node("start", "trigger", door, default="m"), email("m", default="end"), end()),
            workspace_id=workspace,
            name="Doors",
        )
        enrolled(connection, made, contacts(connection, workspace, 1, prefix="door"))
    run_until_idle(guarded, now=NOW)
    ((sent,),) = rows(
        guarded,
        "SELECT o.message_id FROM campaign_message_outcomes o"
        " JOIN drip_campaigns c ON c.id = o.campaign_id WHERE c.name = 'Doors'",
    )
    return sent


SETTINGS = {"trigger_tokens": (Secret("a token"),), "metrics_token": Secret("metrics")}
TOKEN = {"Authorization": "Bearer a token"}
BODY = b'{"email": "new@example.com", "fields": {"company": "Example"}}'


def test_the_ingest_role_receives_and_unsubscribes(guarded, message):
    with (
        as_role(guarded, "drip_ingest") as ingest,
        a_receiver(ingest, **SETTINGS) as receiver,
    ):
        assert receiver.get("/healthz").status == 200
        opened = sign(KEY, Purpose.OPEN, SignedLink(message))
        assert receiver.get(f"/o/{opened}").status == 200
        left = sign(KEY, Purpose.UNSUBSCRIBE, SignedLink(message))
        assert receiver.get(f"/u/{left}").status == 200
        assert receiver.post(f"/u/{left}").status == 200
        assert receiver.post("/trigger/Doors", BODY, TOKEN).status == 503
        assert receiver.get("/metrics").status == 401
        metrics = receiver.get("/metrics", Authorization="Bearer metrics")
        assert "drip_event_lag_seconds" in metrics.text
    assert rows(guarded, "SELECT count(*) FROM event_inbox") == [(2,)]
    assert rows(guarded, "SELECT reason, address FROM campaign_suppressions") == [
        ("unsubscribed", "door1@example.com")
    ]
    assert rows(guarded, "SELECT count(*) FROM receiver_counts") != [(0,)]


def test_the_trigger_role_also_enrolls(guarded, message):
    with (
        as_role(guarded, "drip_trigger") as trigger,
        a_receiver(trigger, **SETTINGS) as receiver,
    ):
        call = {**TOKEN, "Idempotency-Key": "1"}
        assert receiver.post("/trigger/Doors", BODY, call).json()["enrolled"] == 1
        assert receiver.post("/trigger/Doors", BODY, call).json()["is_repeat"]
        left = sign(KEY, Purpose.UNSUBSCRIBE, SignedLink(message))
        assert receiver.post(f"/u/{left}").status == 200
        metrics = receiver.get("/metrics", Authorization="Bearer metrics")
        assert 'drip_requests{endpoint="trigger",outcome="accepted"} 2.0' in metrics.text


FORBIDDEN = [
    "DELETE FROM contacts",
    "DELETE FROM event_inbox",
    "UPDATE event_inbox SET status = 'done'",
    "DELETE FROM campaign_suppressions",
    "INSERT INTO campaign_events (event_type) VALUES ('email_opened')",
    "UPDATE drip_campaigns SET status = 'archived'",
    "SELECT body FROM recorded_messages",
    "SELECT payload FROM event_inbox",
    "SELECT context FROM event_inbox",
    "SELECT raw FROM rejected_events",
    "SELECT FROM campaign_events",
    "SELECT FROM contact_events",
    "CREATE TABLE mine (x integer)",
    "DROP TABLE event_inbox",
    "SELECT ensure_event_partitions(now())",
    "SELECT detach_event_month('2026-03-01', now())",
]


@pytest.mark.parametrize("role", ["drip_ingest", "drip_trigger"])
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_receivers_roles_can_do_no_more(guarded, role, statement):
    refused(guarded, role, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT email FROM contacts",
        "SELECT id FROM contacts",
        "INSERT INTO contacts (workspace_id, email) SELECT id, 'x' FROM workspaces",
        "UPDATE contacts SET name = 'x'",
        "SELECT address FROM campaign_suppressions",
        "INSERT INTO campaign_suppressions (address) VALUES ('x')",
        "SELECT FROM campaign_enrollments",
        "SELECT FROM workspaces",
        "SELECT description FROM drip_campaigns",
        "SELECT definition FROM campaign_versions",
        "SELECT contact_id FROM campaign_deliveries",
        "SELECT contact_id FROM campaign_workflow_states",
        "SELECT sentence FROM campaign_incidents",
        "SELECT FROM campaign_message_outcomes",
        "INSERT INTO event_inbox (provider, payload, status) VALUES ('x', '', 'done')",
    ],
)
def test_the_ingest_role_has_no_access_to_contacts(guarded, statement):
    refused(guarded, "drip_ingest", statement)


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(statement.encode()).fetchall()
