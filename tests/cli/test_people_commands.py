"""The commands from a file of people to messages sent, and those about campaigns as a whole."""

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
PEOPLE = "email,name,company,ai_score,tags\n" + "".join(
    f"person{n}@example.com,Person {n},Company {n},{n * 10},{'vip' if n < 3 else ''}\n"
    for n in range(5)
)


@pytest.fixture
def people(drip: Drip, tmp_path: Path) -> Path:
    """A file of five people, imported."""
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE, encoding="utf-8")
    answered(drip("contacts", "import", path, "--now", NOW, "--json"))
    return path


@pytest.fixture
def campaign(drip: Drip, people: Path) -> str:
    """The onboarding example, published."""
    answered(drip("campaign", "publish", ONBOARDING, "--now", NOW, "--json"))
    return "Onboarding"


def figures(database: Database, statement: str) -> list[tuple[object, ...]]:
    with database.transaction() as connection:
        return connection.execute(statement).fetchall()


def test_from_a_file_of_people_to_messages(drip, database, people, campaign):
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
    assert figures(database, "SELECT count(DISTINCT recipient) FROM recorded_messages") == [(5,)]


def test_people_read_sentences_where_scripts_read_json(drip, people, campaign):
    assert "5 unchanged" in drip("contacts", "import", people).stdout
    assert "is version 1 already" in drip("campaign", "publish", ONBOARDING).stdout
    assert "5 enrolled in 'Onboarding' (version 1), 0 already in" in (
        drip("enroll", campaign, "--all", "--now", NOW).stdout
    )
    ran = drip("run", "--until-idle", "--now", NOW).stdout
    assert "advanced 5 people" in ran
    assert "email: 5 sent" in ran
    assert "nothing is due any more" in ran
    shown = drip("campaign", "show", campaign).stdout
    assert "check_in" in shown
    assert campaign in drip("campaign", "list").stdout


def test_progress_goes_to_stderr_and_never_into_the_json(drip, people):
    result = drip("contacts", "import", people, "--json")
    json.loads(result.stdout)
    assert "people written" in result.stderr


@pytest.mark.parametrize(
    ("who", "count"),
    [
        (("--tag", "vip"), 3),
        (("--where", '{"type": "score", "operator": ">=", "value": 30}'), 2),
    ],
)
def test_some_people_can_be_chosen(drip, campaign, who, count):
    assert answered(drip("enroll", campaign, *who, "--json"))["enrolled"] == count


@pytest.mark.parametrize(
    "text",
    [
        "person1@example.com\n# a comment\n\nPERSON2@example.com;\nnobody@example.com\n",
        "name,Email\nAnn,person1@example.com\nBob,person2@example.com\nCy,nobody@example.com\n",
    ],
)
def test_people_can_be_chosen_by_a_list_of_addresses(drip, campaign, tmp_path, text):
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8")
    told = answered(drip("enroll", campaign, "--emails", path, "--json"))
    assert (told["enrolled"], told["refused"]) == (2, {"not_found": 1})


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
    told = drip(*arguments)
    assert (told.exit_code, told.stdout) == (1, "")
    assert sentence in told.stderr
    in_json = drip(*arguments, "--json")
    assert in_json.exit_code == 1
    assert sentence in json.loads(in_json.stdout)["error"]


def test_a_map_that_is_none_is_wrong_usage(drip, people):
    assert drip("contacts", "import", people, "--map", "email").exit_code == 2


def test_columns_are_mapped_and_addresses_made_as_asked(drip, database, tmp_path):
    path = tmp_path / "anonymous.csv"
    path.write_text("Kunde,segment\nAnn,a\nBob,b\n", encoding="utf-8")
    refused = drip("contacts", "import", path)
    assert refused.exit_code == 1
    assert "--map" in refused.stderr
    told = answered(
        drip(
            "contacts", "import", path, "--map", "Kunde=name", "--json",
            "--email-template", "customer{row}@example.com", "--workspace", "Shop",
        )
    )  # fmt: skip
    assert told["inserted"] == 2
    assert figures(database, "SELECT name, email FROM contacts ORDER BY email") == [
        ("Ann", "customer1@example.com"),
        ("Bob", "customer2@example.com"),
    ]


def test_set_aside_lines_are_told(drip, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("email,name\na@example.com,Ann\nbroken,Bob\n", encoding="utf-8")
    told = drip("contacts", "import", path)
    assert told.exit_code == 0
    assert "set aside in rejected_contacts: 1 invalid email" in told.stdout
    assert "line 3: invalid_email" in told.stdout
    assert "broken" not in told.stdout


def test_all_problems_of_a_file_are_told_with_their_nodes(drip, tmp_path):
    broken = yaml.safe_load(Path(ONBOARDING).read_text(encoding="utf-8"))
    broken["steps"][0]["channel_config"]["email"]["subject"] = ""
    broken["steps"][1]["wait_config"]["unit"] = "fortnights"
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(broken), encoding="utf-8")
    told = drip("campaign", "publish", path)
    assert told.exit_code == 1
    assert "2 problems" in told.stderr
    assert "- welcome:" in told.stderr
    assert "- one_day:" in told.stderr
    problems = json.loads(drip("campaign", "publish", path, "--json").stdout)["problems"]
    assert {problem["node_id"] for problem in problems} == {"welcome", "one_day"}
    assert answered(drip("campaign", "list", "--json")) == []


def test_a_dry_run_publishes_nothing(drip, database, people):
    told = answered(drip("campaign", "publish", ONBOARDING, "--dry-run", "--json"))
    assert (told["status"], told["version"]) == ("dry_run", 1)
    assert figures(database, "SELECT count(*) FROM drip_campaigns") == [(0,)]


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
    assert answered(drip("campaign", "pause", campaign, "--json"))["people"] == 5
    assert answered(drip("run", "--until-idle", "--now", NOW, "--json"))["advanced"] == 0
    assert answered(drip("campaign", "resume", listed["id"], "--json"))["status"] == "active"
    assert answered(drip("run", "--until-idle", "--now", NOW, "--json"))["advanced"] == 5
    assert "was active already" in drip("campaign", "resume", campaign).stdout
    assert "5 people have left" in drip("campaign", "archive", campaign, "--now", NOW).stdout
    assert drip("campaign", "resume", campaign).exit_code == 1


def test_requeue_wants_a_campaign_or_a_batch(drip, campaign):
    assert drip("requeue").exit_code == 2
    assert drip("requeue", "--campaign", campaign, "--batch", str(uuid4())).exit_code == 2
    assert drip("requeue", "--since", "yesterday").exit_code == 2
    since = answered(drip("requeue", "--since", NOW, "--json"))
    assert (since["states"], since["deliveries"]) == (0, 0)
    told = answered(drip("requeue", "--campaign", campaign, "--node", "tips", "--json"))
    assert (told["states"], told["deliveries"]) == (0, 0)
