"""The files under examples/: each campaign publishes without problems and ends every enrollment."""

from __future__ import annotations

import csv
import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.engine.contacts.import_contacts import import_contacts
from drip_pipeline.engine.enrollment.audience import Everybody
from drip_pipeline.engine.enrollment.enroll import EntryOptions, enroll
from drip_pipeline.engine.events.ingest import ingest_file
from drip_pipeline.engine.publishing.export import export_file
from drip_pipeline.engine.publishing.publish import publish
from drip_pipeline.engine.publishing.publish_options import PublishOptions
from drip_pipeline.settings import CHECKOUT, Secret, Settings
from tests.engine.factories import NOW, a_workspace, contacts, run_until_done, run_until_idle

SETTINGS = Settings(smtp_url=Secret("smtp://127.0.0.1:25"))
EXAMPLES = CHECKOUT / "examples"
HILLSTROM = EXAMPLES / "hillstrom"
FILES = sorted(p for p in EXAMPLES.glob("*.yaml") if ".scenarios" not in p.name)
COLUMNS = [
    "recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel",
    "segment", "visit", "conversion", "spend",
]  # fmt: skip
ARMS = ("Mens E-Mail", "Womens E-Mail", "No E-Mail")


def loaded(path: Path) -> ModuleType:
    """A script of the examples, which is not part of any package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def a_hillstrom_file(folder: Path, people: int) -> Path:
    """Customers in the format of the file: a third in each arm, and every tenth buys."""
    path = folder / "customers.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for n in range(people):
            bought = n % 10 == 0
            writer.writerow(
                [
                    n % 12 + 1, "1) $0 - $100", 29.99, 1, 0, "Urban", n % 2, "Web", ARMS[n % 3],
                    int(n % 6 == 0 or bought), int(bought), 12.5 if bought else 0,
                ]
            )  # fmt: skip
    return path


def states(database: Database) -> dict[tuple[str, str | None], int]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT workflow_status, exit_reason, count(*) FROM campaign_workflow_states "
            "GROUP BY 1, 2"
        ).fetchall()
    return {(row[0], row[1]): row[2] for row in rows}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_publishes_without_problems_and_exports_unchanged(database, path):
    with database.transaction() as connection:
        a_workspace(connection)
    report = publish(
        database, path.read_text(encoding="utf-8"), PublishOptions(now=NOW, settings=SETTINGS)
    )
    # No event of the examples' own names has arrived here, and no contact has their own fields.
    unknown = ("event_type_unknown", "field_unknown")
    warnings = [each for each in report.warnings if each.code not in unknown]
    assert (report.status, warnings) == ("published", [])
    exported = json.dumps(export_file(database, report.name).file)
    again = publish(database, exported, PublishOptions(now=NOW, settings=SETTINGS))
    assert (again.status, again.version) == ("unchanged", 1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_ends_every_enrollment(database, path):
    with database.transaction() as connection:
        people = contacts(connection, a_workspace(connection), 60)
        connection.execute("UPDATE contacts SET ai_score = 80, status = 'lead', company = NULL "
                           "WHERE id = ANY(%s)", [people[:20]])  # fmt: skip
        connection.execute("UPDATE contacts SET tags = '{vip}' WHERE id = ANY(%s)", [people[20:30]])
    report = publish(
        database, path.read_text(encoding="utf-8"), PublishOptions(now=NOW, settings=SETTINGS)
    )
    options = EntryOptions(entry_key="E-1", data={"order_id": "E-1", "total": 7})
    assert enroll(database, report.name, Everybody(), now=NOW, options=options).enrolled == 60
    run_until_done(database, NOW)
    ended = states(database)
    assert sum(ended.values()) == 60
    assert {status for status, _ in ended} <= {"completed", "exited"}


def test_the_renewal_is_sent_by_the_clock_of_each_contact(database):
    file = (EXAMPLES / "office_hours.yaml").read_text(encoding="utf-8")
    zones = ["Asia/Kathmandu", "America/New_York", None]
    with database.transaction() as connection:
        people = contacts(connection, a_workspace(connection), 3)
        for person, zone in zip(people, zones, strict=True):
            connection.execute(
                "UPDATE contacts SET custom_fields = jsonb_build_object('timezone', %s::text)"
                " WHERE id = %s",
                [zone, person],
            )
    friday = datetime(2026, 2, 27, 23, tzinfo=UTC)
    report = publish(database, file, PublishOptions(now=friday, settings=SETTINGS))
    enroll(database, report.name, Everybody(), now=friday)
    run_until_done(database, friday)
    with database.transaction() as connection:
        sent = connection.execute(
            "SELECT node_id, contact_id, to_char(sent_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI')"
            " FROM campaign_message_outcomes"
        ).fetchall()
    times = {
        node: [at for person in people for n, who, at in sent if (n, who) == (node, person)]
        for node in ("receipt", "reminder", "night_owls")
    }
    assert times == {
        "receipt": ["02-27 23:00"] * 3,
        # Tuesday, 10:00; one month later it is Friday, and summer time in New York; then Saturday.
        "reminder": ["03-03 04:15", "03-03 15:00", "03-03 10:00"],
        "night_owls": ["04-04 16:15", "04-05 02:00", "04-04 22:00"],
    }


def test_the_win_back_offer_goes_only_to_high_scores(database):
    with database.transaction() as connection:
        people = contacts(connection, a_workspace(connection), 4)
        for person, change in zip(
            people,
            ("ai_score = 80, status = 'lead'", "ai_score = 80", "tags = '{vip}'", "ai_score = 10"),
            strict=True,
        ):
            connection.execute(
                f"UPDATE contacts SET {change} WHERE id = %s",
                [person],
            )
    text = (EXAMPLES / "winback.yaml").read_text(encoding="utf-8")
    publish(database, text, PublishOptions(now=NOW, settings=SETTINGS))
    enroll(database, "Win-back", Everybody(), now=NOW)
    for day in range(4):
        run_until_idle(database, NOW + timedelta(days=day))
    with database.transaction() as connection:
        offered = connection.execute(
            "SELECT k.email FROM recorded_messages m JOIN contacts k ON k.email = m.recipient "
            "WHERE m.node_id = 'offer' ORDER BY 1"
        ).fetchall()
    assert offered == [("person1@example.com",), ("person3@example.com",)]


def test_hillstrom_counts_clicks_conversions_and_the_holdout(database, tmp_path):
    path = a_hillstrom_file(tmp_path, 300)
    template = "customer{row}@example.com"
    assert import_contacts(database, path, now=NOW, email_template=template).inserted == 300
    text = (HILLSTROM / "campaign.yaml").read_text(encoding="utf-8")
    report = publish(database, text, PublishOptions(now=NOW, settings=SETTINGS))
    assert list(report.warnings) == []
    assert enroll(database, report.name, Everybody(), now=NOW).enrolled == 300
    run_until_idle(database, NOW)
    assert states(database) == {("completed", None): 200, ("exited", "holdout"): 100}
    events = tmp_path / "events.ndjson"
    loaded(HILLSTROM / "make_events.py").main(str(path), str(events), NOW.isoformat())
    taken = ingest_file(database, events, now=NOW + timedelta(days=3))
    assert dict(taken.rejected) == {}
    with database.transaction() as connection:
        assigned = connection.execute(
            "SELECT variant_group, count(*), count(first_converted_at), sum(conversion_value) "
            "FROM campaign_split_assignments GROUP BY 1 ORDER BY 1"
        ).fetchall()
        clicked = connection.execute(
            "SELECT variant_group, count(first_clicked_at) FROM campaign_message_outcomes "
            "GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert assigned == [
        ("mens", 100, 10, 125),
        ("no_email", 100, 10, 125),
        ("womens", 100, 10, 125),
    ]
    assert clicked == [("mens", 50), ("womens", 10)]


def test_the_script_names_only_commands_that_exist():
    from drip_pipeline.cli import COMMANDS

    script = (HILLSTROM / "run.py").read_text(encoding="utf-8")
    readme = (HILLSTROM / "README.md").read_text(encoding="utf-8")
    for name in ("contacts", "campaign", "enroll", "run", "events", "ab"):
        assert f'"{name}"' in script
        assert f"drip {name} " in readme
        assert name in COMMANDS
