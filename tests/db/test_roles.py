"""The least-privilege roles: each can do its work, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drip_pipeline.db.database_role import short_time_limits, written_tables
from drip_pipeline.db.migrate import status
from drip_pipeline.db.migration_files import table_names
from drip_pipeline.domain.templates.signed_tokens import Purpose, SignedLink, sign
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import enroll
from drip_pipeline.engine.events.ingest import ingest_events
from drip_pipeline.engine.metrics.daily_metrics import aggregate_days
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import CHECKOUT, Settings
from tests.db.guarded_roles import BODY, SETTINGS, TOKEN, as_role, guarded, message, refused, rows
from tests.engine.factories import (
    NOW,
    an_event,
    contacts,
    run_until_idle,
    the_workspace,
)
from tests.receiver.running import KEY, a_receiver

__all__ = ["guarded", "message"]


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
    # What is stored about people, of any workspace.
    "SELECT email FROM contacts",
    "SELECT id FROM contacts",
    "SELECT count(*) FROM contacts",
    "SELECT custom_fields FROM contacts",
    "SELECT FROM contacts FOR UPDATE",
    "INSERT INTO contacts (workspace_id, email) VALUES (gen_random_uuid(), 'x') RETURNING id",
    "UPDATE contacts SET name = 'x'",
    "COPY contacts TO STDOUT",
    "SELECT address FROM campaign_suppressions",
    "INSERT INTO campaign_suppressions (address) VALUES ('x')",
    "SELECT address FROM topic_consents",
    "SELECT contact_email FROM campaign_enrollments",
    "SELECT personalization_data FROM campaign_enrollments",
    "INSERT INTO campaign_enrollments (campaign_id) VALUES (gen_random_uuid())",
    "SELECT contact_id FROM campaign_workflow_states",
    "SELECT workflow_variables FROM campaign_workflow_states",
    "SELECT contact_id FROM campaign_deliveries",
    "SELECT reason FROM rejected_contacts",
    "SELECT cell FROM rejected_cells",
    "SELECT recipient FROM recorded_messages",
    "SELECT reason FROM campaign_data_faults",
    "SELECT sentence FROM campaign_incidents",
    "SELECT details FROM operator_actions",
    "SELECT body_hash FROM trigger_calls",
    "SELECT definition FROM campaign_versions",
    "SELECT campaign_snapshot FROM campaign_versions",
    "SELECT w FROM workspaces w",
    "SELECT FROM campaign_message_outcomes",
    "INSERT INTO event_inbox (provider, payload, status) VALUES ('x', '', 'done')",
]


@pytest.mark.parametrize("role", ["drip_ingest", "drip_trigger"])
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_receivers_roles_can_do_no_more(guarded, role, statement):
    refused(guarded, role, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM workspaces",
        "SELECT drip_settings FROM drip_campaigns",
        "SELECT compiled_graph FROM campaign_versions",
        "INSERT INTO trigger_calls (call_key) VALUES ('x')",
        "SELECT trigger_earlier_call(gen_random_uuid(), 'x')",
        "SELECT count_entries_since(gen_random_uuid(), now())",
        "SELECT contacts_outside_topic(gen_random_uuid(), 'x', '{}')",
    ],
)
def test_the_ingest_role_has_no_access_to_campaigns(guarded, statement):
    refused(guarded, "drip_ingest", statement)
