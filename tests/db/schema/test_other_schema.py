"""Everything works in another schema than `public`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from drip_pipeline.cli import main
from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate
from drip_pipeline.engine.delivery.recover import recover
from drip_pipeline.engine.events.ingest import ingest_events
from tests.db.schema.schema_rows import NOW

CAMPAIGN = """
name: Elsewhere
steps:
  - {node_id: hi, node_type: email, channel_config: {email: {subject: Hi, body: Hello}}}
"""


def in_schema(database: Database, path: str) -> Database:
    return Database(f"{database.url}?options={quote(f'-c search_path={path}')}")


@pytest.fixture
def elsewhere(empty_database: Database) -> Iterator[Database]:
    with empty_database.autocommit() as connection:
        connection.execute("CREATE SCHEMA own")
    with in_schema(empty_database, "own") as database:
        yield database


def test_migrate_is_complete_and_repeatable(elsewhere):
    migrate(elsewhere)
    assert migrate(elsewhere).applied == ()
    with elsewhere.transaction() as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone()
        others = connection.execute(
            "SELECT proname, proconfig FROM pg_proc WHERE prosecdef"
            " AND pronamespace = 'own'::regnamespace"
        ).fetchall()
    assert found == (0,)
    assert others
    wrong = [n for n, c in others if "search_path=own, pg_temp" not in (c or ())]
    assert wrong == []


def test_a_campaign_runs(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setenv("DRIP_DATABASE_URL", elsewhere.url)
    monkeypatch.setenv("DRIP_HOME", str(tmp_path))
    people = tmp_path / "people.csv"
    people.write_text("email,name\na@example.com,Ada\nb@example.com,Ben\n")
    campaign = tmp_path / "campaign.yaml"
    campaign.write_text(CAMPAIGN)
    for arguments in (
        ["db", "migrate"],
        ["contacts", "import", str(people)],
        ["campaign", "publish", str(campaign)],
        ["enroll", "Elsewhere", "--all"],
        ["run", "--until-idle"],
        ["run"],
        ["doctor"],
        ["workspace", "list"],
    ):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, (arguments, done.output, done.exception)
    with elsewhere.transaction() as connection:
        sent = connection.execute("SELECT count(*) FROM recorded_messages").fetchone()
    assert sent == (2,)


def test_months_get_partitions_and_events_go_there(elsewhere):
    migrate(elsewhere)
    recover(elsewhere, now=NOW)
    recover(elsewhere, now=NOW + timedelta(days=31))
    with elsewhere.transaction() as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = 'campaign_events'::regclass ORDER BY 1"
            )
        ]
    assert names == [f"campaign_events_{n}" for n in ("2026_03", "2026_04", "2026_05", "default")]
    report = ingest_events(elsewhere, [{"event_type": "email_opened"}], source="t", now=NOW)
    assert report.lines == 1
