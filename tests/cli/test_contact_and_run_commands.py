"""The commands from the import of contacts to sent messages, and the campaign commands."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import yaml

from drip_pipeline.db.connection import Database
from drip_pipeline.settings import CHECKOUT
from tests.cli.conftest import Drip, answered

NOW = "2026-03-02T09:00:00+00:00"
TWO_DAYS_LATER = "2026-03-04T09:30:00Z"
ONBOARDING = str(CHECKOUT / "examples" / "onboarding.yaml")
CONTACTS = "email,name,company,ai_score,tags\n" + "".join(
    f"person{n}@example.com,Person {n},Company {n},{n * 10},{'vip' if n < 3 else ''}\n"
    for n in range(5)
)


@pytest.fixture
def contacts_file(drip: Drip, tmp_path: Path) -> Path:
    """Import a file of five contacts, and return its path."""
    path = tmp_path / "people.csv"
    path.write_text(CONTACTS, encoding="utf-8")
    answered(drip("contacts", "import", path, "--now", NOW, "--json"))
    return path


@pytest.fixture
def campaign(drip: Drip, contacts_file: Path) -> str:
    """Publish the onboarding example, and return its name."""
    answered(drip("campaign", "publish", ONBOARDING, "--now", NOW, "--json"))
    return "Onboarding"


def rows(database: Database, statement: str) -> list[tuple[object, ...]]:
    with database.transaction() as connection:
        return connection.execute(statement).fetchall()


def test_imported_contacts_are_enrolled_and_get_messages(drip, database, contacts_file, campaign):
    enrolled = answered(drip("enroll", campaign, "--all", "--now", NOW, "--json"))
    assert (enrolled["enrolled"], enrolled["already_in"], enrolled["refused"]) == (5, 0, {})
    ran = answered(drip("run", "--until-idle", "--now", NOW, "--json"))
    assert (ran["advanced"], ran["is_idle"]) == (5, True)
    assert ran["delivered"]["email"]["sent"] == 5
    later = answered(drip("run", "--until-idle", "--now", TWO_DAYS_LATER, "--json"))
    assert later["delivered"]["email"]["sent"] == 5
    shown = answered(drip("campaign", "show", campaign, "--json"))
    assert shown["campaign"]["status"] == "active"
    nodes = {node["node_id"]: node for node in shown["nodes"]}
    assert (nodes["tips"]["passed"], nodes["three_days"]["now"]) == (5, 5)
    assert rows(database, "SELECT count(DISTINCT recipient) FROM recorded_messages") == [(5,)]


def test_terminal_output_is_readable_text(drip, contacts_file, campaign):
    assert "5 unchanged" in drip("contacts", "import", contacts_file).stdout
    assert "is version 1 already" in drip("campaign", "publish", ONBOARDING).stdout
    assert "5 enrolled in 'Onboarding' (version 1), 0 already enrolled" in (
        drip("enroll", campaign, "--all", "--now", NOW).stdout
    )
    ran = drip("run", "--until-idle", "--now", NOW).stdout
    assert "advanced 5 enrollments" in ran
    assert "email: 5 sent" in ran
    assert "nothing more is due" in ran
    shown = drip("campaign", "show", campaign).stdout
    assert "check_in" in shown
    assert campaign in drip("campaign", "list").stdout


def test_progress_is_printed_to_stderr_only(drip, contacts_file):
    result = drip("contacts", "import", contacts_file, "--json")
    json.loads(result.stdout)
    assert "contacts written" in result.stderr


@pytest.mark.parametrize(
    ("who", "count"),
    [
        (("--tag", "vip"), 3),
        (("--where", '{"type": "score", "operator": ">=", "value": 30}'), 2),
    ],
)
def test_contacts_are_selected_by_tag_or_condition(drip, campaign, who, count):
    assert answered(drip("enroll", campaign, *who, "--json"))["enrolled"] == count


@pytest.mark.parametrize(
    "text",
    [
        "person1@example.com\n# a comment\n\nPERSON2@example.com;\nnobody@example.com\n",
        "name,Email\nAnn,person1@example.com\nBob,person2@example.com\nCy,nobody@example.com\n",
    ],
)
def test_contacts_are_selected_by_a_list_of_addresses(drip, campaign, tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8")
    result = answered(drip("enroll", campaign, "--emails", path, "--json"))
    assert (result["enrolled"], result["refused"]) == (2, {"not_found": 1})


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--all", "--tag", "vip"),
        ("--where", "{"),
        ("--where", '{"type": "score"}'),
        ("--all", "--now", "tomorrow"),
        ("--all", "--spread", "-1"),
    ],
)
def test_wrong_usage_of_enroll_is_exit_code_2(drip, arguments):
    assert drip("enroll", "Onboarding", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("enroll", "Nothing", "--all"), "no campaign 'Nothing'"),
        (("campaign", "show", "Nothing"), "no campaign 'Nothing'"),
        (("campaign", "pause", str(UUID(int=1))), "no campaign"),
        (("contacts", "import", "missing.csv"), "missing.csv: No such file or directory"),
        (("campaign", "publish", "missing.yaml"), "missing.yaml: No such file or directory"),
        (("requeue", "--campaign", "Nothing"), "no campaign 'Nothing'"),
        (("requeue", "--batch", str(UUID(int=1))), "no batch"),
    ],
)
def test_an_explained_failure_is_exit_code_1_in_text_and_json(drip, arguments, sentence):
    result = drip(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr
    in_json = drip(*arguments, "--json")
    assert in_json.exit_code == 1
    assert sentence in json.loads(in_json.stdout)["error"]


def test_an_invalid_column_mapping_is_wrong_usage(drip, contacts_file):
    assert drip("contacts", "import", contacts_file, "--map", "email").exit_code == 2


def test_columns_are_mapped_and_addresses_generated(drip, database, tmp_path):
    path = tmp_path / "anonymous.csv"
    path.write_text("Kunde,segment\nAnn,a\nBob,b\n", encoding="utf-8")
    refused = drip("contacts", "import", path)
    assert refused.exit_code == 1
    assert "--map" in refused.stderr
    result = answered(
        drip(
            "contacts", "import", path, "--map", "Kunde=name", "--json",
            "--email-template", "customer{row}@example.com", "--workspace", "Shop",
        )
    )  # fmt: skip
    assert result["inserted"] == 2
    assert rows(database, "SELECT name, email FROM contacts ORDER BY email") == [
        ("Ann", "customer1@example.com"),
        ("Bob", "customer2@example.com"),
    ]


def test_rejected_lines_are_reported(drip, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("email,name\na@example.com,Ann\nbroken,Bob\n", encoding="utf-8")
    result = drip("contacts", "import", path)
    assert result.exit_code == 0
    assert "rejected (saved to rejected_contacts): 1 invalid email" in result.stdout
    assert "line 3: invalid_email" in result.stdout
    assert "broken" not in result.stdout


def test_an_import_that_takes_nobody_fails(drip, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("email,name\nbroken,Ann\n,Bob\n", encoding="utf-8")
    result = drip("contacts", "import", path)
    assert result.exit_code == 1
    assert "1 no email, 1 invalid email" in result.stdout.replace(
        "1 invalid email, 1 no email", "1 no email, 1 invalid email"
    )
    assert drip("contacts", "import", path, "--json").exit_code == 1
    path.write_text("email,name\n", encoding="utf-8")
    assert drip("contacts", "import", path).exit_code == 0


def test_an_import_says_what_it_made_of_each_column_and_line(drip, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(
        "email,ai_score,visits,flag,born,price,UNSUB_TIME\n"
        "a@example.com,140,3,true,2024-01-02,9.00,2022-01-01\n\n"
        'b@example.com,5,4,false,2024-01-03,"1\n2",\n',
        encoding="utf-8",
    )
    result = drip("contacts", "import", path)
    assert result.exit_code == 0
    for line in (
        "5 lines: 2 rows, 1 header, 1 blank, 1 inside cells",
        "column 'UNSUB_TIME' says who must not get messages: 1 contacts",
        "added to the suppression list: 1",
        "cells that cannot be read (saved to rejected_cells): 1",
        "line 2: ai_score: invalid_ai_score",
        "  integer: visits",
        "  boolean: flag",
        "  date: born",
    ):
        assert line in result.stdout
    assert "140" not in result.stdout


def test_columns_of_one_name_and_types_are_chosen(drip, database, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("Email,Notes,Notes,zip\na@example.com,a,b,10115\n", encoding="utf-8")
    assert drip("contacts", "import", path, "--types", "zip=postcode").exit_code == 2
    result = drip(
        "contacts", "import", path, "--map", "Notes=one", "--map", "Notes=two", "--types",
        "zip=text",
    )  # fmt: skip
    assert result.exit_code == 0
    assert rows(database, "SELECT custom_fields FROM contacts") == [
        ({"one": "a", "two": "b", "zip": "10115"},)
    ]


def test_all_problems_of_a_file_are_reported_with_their_nodes(drip, tmp_path):
    broken = yaml.safe_load(Path(ONBOARDING).read_text(encoding="utf-8"))
    broken["steps"][0]["channel_config"]["email"]["subject"] = ""
    broken["steps"][1]["wait_config"]["unit"] = "fortnights"
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(broken), encoding="utf-8")
    result = drip("campaign", "publish", path)
    assert result.exit_code == 1
    assert "2 problems" in result.stderr
    assert "- welcome:" in result.stderr
    assert "- one_day:" in result.stderr
    problems = json.loads(drip("campaign", "publish", path, "--json").stdout)["problems"]
    assert {problem["node_id"] for problem in problems} == {"welcome", "one_day"}
    assert answered(drip("campaign", "list", "--json")) == []


def test_a_dry_run_publishes_nothing(drip, database, contacts_file):
    result = answered(drip("campaign", "publish", ONBOARDING, "--dry-run", "--json"))
    assert (result["status"], result["version"]) == ("dry_run", 1)
    assert rows(database, "SELECT count(*) FROM drip_campaigns") == [(0,)]


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_publishing_an_export_changes_nothing(drip, campaign, tmp_path, suffix):
    path = tmp_path / f"export{suffix}"
    answered(drip("campaign", "export", campaign, "--out", path, "--json"))
    assert answered(drip("campaign", "publish", path, "--json"))["status"] == "unchanged"
    printed = drip("campaign", "export", campaign)
    assert yaml.safe_load(printed.stdout)["name"] == campaign
    assert answered(drip("campaign", "export", campaign, "--json"))["name"] == campaign


def test_pause_resume_and_archive_by_name_or_id(drip, campaign):
    (listed,) = answered(drip("campaign", "list", "--json"))
    answered(drip("enroll", campaign, "--all", "--now", NOW, "--json"))
    assert answered(drip("campaign", "pause", campaign, "--json"))["enrollments"] == 5
    assert answered(drip("run", "--until-idle", "--now", NOW, "--json"))["advanced"] == 0
    assert answered(drip("campaign", "resume", listed["id"], "--json"))["status"] == "active"
    assert answered(drip("run", "--until-idle", "--now", NOW, "--json"))["advanced"] == 5
    assert "is already active" in drip("campaign", "resume", campaign).stdout
    assert "5 enrollments exited" in drip("campaign", "archive", campaign, "--now", NOW).stdout
    assert drip("campaign", "resume", campaign).exit_code == 1


def test_requeue_requires_a_campaign_a_batch_or_a_time(drip, campaign):
    assert drip("requeue").exit_code == 2
    assert drip("requeue", "--campaign", campaign, "--batch", str(uuid4())).exit_code == 2
    assert drip("requeue", "--since", "yesterday").exit_code == 2
    since = answered(drip("requeue", "--since", NOW, "--json"))
    assert (since["states"], since["deliveries"]) == (0, 0)
    result = answered(drip("requeue", "--campaign", campaign, "--node", "tips", "--json"))
    assert (result["states"], result["deliveries"]) == (0, 0)
