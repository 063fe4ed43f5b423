"""The audit trail: each operation is recorded once, with actor, time, object and reason."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.audit import Actor, login_name
from drip_pipeline.engine.contacts.import_suppressions import import_suppressions
from drip_pipeline.engine.enrollment import admission
from drip_pipeline.engine.enrollment import enroll as enrolling
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import EntryOptions
from drip_pipeline.engine.operations.retention import apply_retention
from drip_pipeline.settings import CHECKOUT
from drip_pipeline.settings.kinds import Retention
from tests.cli.conftest import Drip, answered
from tests.engine.ab_tests.split_contacts import a_split_test, people
from tests.engine.events.incoming import LATER, mailed
from tests.engine.events.test_drain_inbox import came_in
from tests.engine.factories import (
    NOW,
    a_published_campaign,
    a_workspace,
    contacts,
    enrolled,
    rows_of,
)
from tests.engine.graphs import email, end, graph, trigger

WINBACK = CHECKOUT / "examples" / "winback.yaml"
AT = ("--now", NOW.isoformat())
WHY = ("--reason", "as ann@example.com asked")
FLOW = graph(trigger("mail"), email("mail", default="end"), end())


def recorded(database: Database) -> list[tuple[Any, ...]]:
    """All operations as (action, actor, source, object kind, object name, reason), in order."""
    with database.transaction() as connection:
        return connection.execute(
            "SELECT action, actor, source, object_kind, object_name, reason FROM operator_actions"
            " ORDER BY occurred_at, action"
        ).fetchall()


def the_only(database: Database) -> tuple[Any, ...]:
    (only,) = recorded(database)
    return only


def by_jane(drip: Drip, *arguments: Any) -> Any:
    return answered(drip("--as", "Jane", *arguments, *AT, "--json"))


@pytest.fixture
def workspace(database: Database) -> Any:
    with database.transaction() as connection:
        return a_workspace(connection)


@pytest.fixture
def welcome(database: Database, workspace: Any) -> Any:
    """A campaign with three people inside, and two others of the workspace."""
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, FLOW, workspace_id=workspace, name="Welcome")
        ids = contacts(connection, workspace, 5)
        enrolled(connection, campaign, ids[:3])
    return campaign


def test_publishing_rolling_back_and_saving_versions_name_the_author(drip, database, tmp_path):
    by_jane(drip, "campaign", "publish", WINBACK, "--description", "the first")
    by_jane(drip, "campaign", "publish", WINBACK)  # unchanged
    edited = tmp_path / "edited.yaml"
    text = WINBACK.read_text(encoding="utf-8").replace("value: 5, unit", "value: 2, unit")
    edited.write_text(text, encoding="utf-8")
    by_jane(drip, "campaign", "publish", edited, "--dry-run")
    answered(drip("--as", "Joe", "campaign", "publish", edited, *WHY, "--json"))
    answered(drip("--as", "Ida", "campaign", "rollback", "Win-back", "1", "--json"))
    answered(drip("--as", "Eve", "campaign", "snapshot", "Win-back", "--json"))
    answered(drip("campaign", "clone", "Win-back", "--name", "Copy", "--json"))
    assert [row[:2] + row[4:] for row in recorded(database)] == [
        ("publish", "Jane", "Win-back", "the first"),
        ("publish", "Joe", "Win-back", "as <address> asked"),
        ("rollback", "Ida", "Win-back", "back to version 1"),
        ("snapshot", "Eve", "Win-back", None),
        ("clone", login_name(), "Copy", "cloned from Win-back, version 3"),
    ]
    versions = answered(drip("campaign", "versions", "Win-back", "--json"))["versions"]
    assert [(row["version"], row["actor"]) for row in versions] == [
        (4, "Eve"), (3, "Ida"), (2, "Joe"), (1, "Jane"),
    ]  # fmt: skip
    assert "Ida" in drip("campaign", "versions", "Win-back").stdout


@pytest.mark.parametrize(
    ("before", "command"), [((), "pause"), (("pause",), "resume"), ((), "archive")]
)
def test_a_change_of_status_is_recorded_once(drip, database, welcome, before, command):
    for earlier in before:
        by_jane(drip, "campaign", earlier, "Welcome")
    with database.transaction() as connection:
        connection.execute("DELETE FROM operator_actions")
    for _ in range(2):  # the repetition changes nothing
        by_jane(drip, "campaign", command, "Welcome", *WHY)
    assert the_only(database) == (
        command, "Jane", "cli", "campaign", "Welcome", "as <address> asked",
    )  # fmt: skip
    (row,) = answered(drip("audit", "--json"))
    assert row["object_id"] == str(welcome.campaign_id)
    assert row["workspace_id"] == str(welcome.workspace_id)
    assert datetime.fromisoformat(row["occurred_at"]) == NOW
    assert row["details"]["enrollments"] == 3


def test_an_enrollment_in_several_transactions_is_one_operation(drip, database, welcome):
    with database.transaction() as connection:
        contacts(connection, welcome.workspace_id, 3, prefix="more")
    options = EntryOptions(actor=Actor("Jane", "cli"), reason="the launch")
    for expected in (5, 0):
        report = enrolling.enroll(
            database, "Welcome", Everybody(), now=NOW, options=options, chunk_size=2
        )
        assert report.enrolled == expected
    assert the_only(database) == ("enroll", "Jane", "cli", "campaign", "Welcome", "the launch")
    (row,) = answered(drip("audit", "--campaign", "Welcome", "--json"))
    assert row["details"] == {
        "enrolled": 5, "into_version": 1, "audience": "all contacts", "spread_minutes": 0,
    }  # fmt: skip


def test_an_enrollment_that_fails_later_has_recorded_what_was_done(database, welcome, monkeypatch):
    real, calls = admission.admit, []

    def failing(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(enrolling, "admit", failing)
    with pytest.raises(KeyboardInterrupt):
        enrolling.enroll(database, "Welcome", Everybody(), now=NOW, chunk_size=4)
    with database.transaction() as connection:
        (details,) = connection.execute(
            "SELECT coalesce((SELECT (details ->> 'enrolled')::int FROM operator_actions), 0)"
        ).fetchone()
        (inside,) = connection.execute("SELECT count(*) FROM campaign_enrollments").fetchone()
    assert details == inside - 3


def test_conditions_and_lists_of_an_audience_leave_no_values(drip, database, welcome, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("person4@example.com\n", encoding="utf-8")
    condition = '{"type": "field", "field": "company", "operator": "!=", "value": "canary"}'
    by_jane(drip, "enroll", "Welcome", "--emails", listed)
    by_jane(drip, "enroll", "Welcome", "--where", condition)
    with database.transaction() as connection:
        stored = str(rows_of(connection, "operator_actions"))
    assert "a condition on company" in stored or "1 addresses" in stored
    assert "canary" not in stored
    assert "person4" not in stored


def test_a_declared_winner_and_a_cleared_block(drip, database):
    with database.transaction() as connection:
        test = a_split_test(connection)
        people(connection, test, "a", 600)
        people(connection, test, "b", 900)
    answered(drip("ab", "judge", *AT, "--json"))
    by_jane(drip, "ab", "clear", "Welcome", *WHY)
    by_jane(drip, "ab", "declare", "Welcome", "--variant", "a", *WHY)
    assert [row[:2] + row[4:] for row in recorded(database)] == [
        ("clear_sample_ratio", "Jane", "Welcome", "as <address> asked"),
        ("declare_winner", "Jane", "Welcome", "as <address> asked"),
    ]
    details = answered(drip("audit", "--action", "declare_winner", "--json"))[0]["details"]
    assert (details["winner"], details["decided_by"]) == ("a", "Jane")


def test_requeued_work_and_settled_deliveries(drip, database):
    with database.transaction() as connection:
        campaign = a_published_campaign(connection, FLOW, name="Welcome")
        enrolled(connection, campaign, contacts(connection, campaign.workspace_id, 2))
        connection.execute(
            "UPDATE campaign_workflow_states SET workflow_status = 'failed', completed_at = %s,"
            " next_execution_at = NULL",
            [NOW],
        )
    assert by_jane(drip, "requeue", "--campaign", "Welcome", *WHY)["states"] == 2
    assert by_jane(drip, "requeue", "--campaign", "Welcome")["states"] == 0
    answered(drip("run", *AT, "--json"))
    with database.transaction() as connection:
        connection.execute(
            "UPDATE campaign_deliveries SET status = 'unknown', settled_at = NULL"
            " WHERE id = (SELECT min(id::text)::uuid FROM campaign_deliveries)"
        )
    settled = by_jane(drip, "deliveries", "settle", "--campaign", "Welcome", "--as", "skip", *WHY)
    assert settled["deliveries"] == 1
    assert [row[:2] + row[3:] for row in recorded(database)] == [
        ("requeue", "Jane", "campaign", "Welcome", "as <address> asked"),
        ("settle_deliveries", "Jane", "campaign", "Welcome", "as <address> asked"),
    ]


def test_suppressions_and_resubscriptions(drip, database, welcome, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("email\nperson1@example.com\nperson2@example.com\n", encoding="utf-8")
    for _ in range(2):
        by_jane(drip, "suppressions", "import", path, *WHY)
    assert the_only(database)[:2] == ("import_suppressions", "Jane")
    with database.transaction() as connection:
        (who,) = connection.execute("SELECT email FROM contacts ORDER BY email LIMIT 1").fetchone()
        connection.execute(
            "INSERT INTO campaign_suppressions (workspace_id, address, reason, source, created_at)"
            " VALUES (%s, %s, 'manual', 'test', %s) ON CONFLICT DO NOTHING",
            [welcome.workspace_id, who, NOW],
        )
    for _ in range(2):
        by_jane(drip, "contacts", "resubscribe", who, *WHY)
    (row,) = answered(drip("audit", "--contact", who.upper(), "--json"))
    assert (row["action"], row["actor"], row["object_kind"], row["object_name"], row["reason"]) == (
        "resubscribe", "Jane", "contact", None, "as <address> asked",
    )  # fmt: skip
    assert row["details"]["lifted"] == 1
    assert answered(drip("audit", "--contact", row["object_id"], "--json")) == [row]
    assert answered(drip("audit", "--contact", "nobody@example.com", "--json")) == []
    with database.transaction() as connection:
        assert "example.com" not in str(rows_of(connection, "operator_actions"))


def test_an_import_in_several_transactions_is_one_operation(
    database, workspace, tmp_path, monkeypatch
):
    monkeypatch.setattr("drip_pipeline.engine.contacts.import_suppressions.CHUNK_ROWS", 2)
    path = tmp_path / "list.csv"
    addresses = "".join(f"p{number}@example.com\n" for number in range(5))
    path.write_text(f"email\n{addresses}", encoding="utf-8")
    import_suppressions(database, path, now=NOW)
    assert the_only(database)[:3] == ("import_suppressions", "library", "library")
    with database.transaction() as connection:
        ((details,),) = connection.execute("SELECT details FROM operator_actions").fetchall()
    assert details == {"file": "list.csv", "added": 5}


def test_settings_of_a_workspace_and_its_channels(drip, database, workspace):
    for _ in range(2):
        by_jane(drip, "workspace", "region", "DE", *WHY)
        by_jane(drip, "workspace", "zone", "Europe/Berlin", *WHY)
    by_jane(drip, "channels", "set", "mail", "--category", "email", *WHY)
    assert [row[:2] + row[3:5] for row in recorded(database)] == [
        ("set_channel", "Jane", "channel", "mail"),
        ("set_region", "Jane", "workspace", "Acme"),
        ("set_time_zone", "Jane", "workspace", "Acme"),
    ]
    rows = {row["action"]: row["details"] for row in answered(drip("audit", "--json"))}
    assert rows["set_time_zone"] == {"before": "UTC", "after": "Europe/Berlin"}


def test_payloads_and_lines_that_an_operator_retries_or_gives_up(drip, database, tmp_path):
    mailed(database)
    came_in(database, b"{not json", b"{neither")
    answered(drip("inbox", "drain", "--now", LATER.isoformat(), "--json"))
    by_jane(drip, "inbox", "retry", *WHY)
    drip("inbox", "drain", "--now", LATER.isoformat())
    with database.transaction() as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM event_inbox ORDER BY id")]
    assert drip("--as", "Jane", "inbox", "discard", ids[0], "999", *AT).exit_code == 1
    assert [row[:4] for row in recorded(database)] == [
        ("discard_payloads", "Jane", "cli", "payload"),
        ("retry_payloads", "Jane", "cli", "payload"),
    ]
    discarded, retried = (row["details"] for row in answered(drip("audit", "--json")))
    if "provider" in discarded:
        discarded, retried = retried, discarded
    assert discarded == {"payloads": 1, "ids": [ids[0]]}
    assert retried["payloads"] == 2


def test_rejected_lines_that_are_retried(drip, database, tmp_path):
    contact = "later@example.com"
    line = f'{{"event_id": "1", "event_type": "purchase", "occurred_at": "{NOW.isoformat()}",'
    path = tmp_path / "events.ndjson"
    path.write_text(f'{line} "email": "{contact}"}}\n', encoding="utf-8")
    with database.transaction() as connection:
        workspace = a_workspace(connection)
    answered(drip("events", "ingest", path, *AT, "--json"))
    assert answered(drip("events", "rejected", "--retry", *AT, "--json"))["accepted"] == 0
    assert recorded(database) == []
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO contacts (workspace_id, email) VALUES (%s, %s)", [workspace, contact]
        )
    assert by_jane(drip, "events", "rejected", "--retry", "--why", "imported")["accepted"] == 1
    assert the_only(database) == (
        "retry_rejected_events", "Jane", "cli", "payload", None, "imported",
    )  # fmt: skip


def test_the_actor_is_the_option_then_the_setting_then_the_login_name(
    drip, database, welcome, monkeypatch
):
    answered(drip("campaign", "pause", "Welcome", *AT, "--json"))
    monkeypatch.setenv("DRIP_ACTOR", "nightly job")
    later = (NOW + timedelta(minutes=1)).isoformat()
    answered(drip("campaign", "resume", "Welcome", "--now", later, "--json"))
    last = (NOW + timedelta(minutes=2)).isoformat()
    answered(drip("--as", "Jane", "campaign", "pause", "Welcome", "--now", last, "--json"))
    assert [row[1] for row in recorded(database)] == [login_name(), "nightly job", "Jane"]
    (found,) = answered(drip("audit", "--actor", "nightly job", "--json"))
    assert found["action"] == "resume"
    assert len(answered(drip("audit", "--since", later, "--json"))) == 2
    assert [row["actor"] for row in answered(drip("audit", "--limit", "1", "--json"))] == ["Jane"]
    shown = drip("audit").stdout
    assert "Jane" in shown
    assert "pause" in shown
    assert drip("audit", "--campaign", "unknown").exit_code == 1


def test_a_user_without_a_name_is_an_actor_too(monkeypatch):
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert login_name() == "user 4711"


def test_names_and_reasons_that_a_database_cannot_store_are_recorded(drip, database, welcome):
    why = "a\nb" + "c" * 3_000
    answered(
        drip("--as", " J\x1b[31mane ", "campaign", "pause", "Welcome", "--reason", why, "--json")
    )
    _, actor, _, _, _, reason = the_only(database)
    assert actor == "J [31mane"
    assert (reason[:4], len(reason)) == ("a bc", 2_000)


def test_the_trail_is_kept_unless_retention_names_it(database, welcome, drip, tmp_path: Path):
    by_jane(drip, "campaign", "pause", "Welcome")
    later = NOW + timedelta(days=4_000)
    apply_retention(database, Retention(), tmp_path, now=later)
    assert len(recorded(database)) == 1
    report = apply_retention(database, Retention(audit=365), tmp_path, now=later, dry_run=True)
    assert report.deleted["operator_actions"] == 1
    report = apply_retention(database, Retention(audit=365), tmp_path, now=later)
    assert report.deleted["operator_actions"] == 1
    assert recorded(database) == []
