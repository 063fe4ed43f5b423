"""`drip campaign preview` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Drip, answered
from tests.engine.preview.files import GOOD_MAIL, campaign


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A campaign file."""
    path = tmp_path / "tea.json"
    path.write_text(json.dumps(campaign(GOOD_MAIL, sms="Hi {{ first_name }}")), encoding="utf-8")
    return path


def test_a_file_is_previewed_without_contacts(drip: Drip, file: Path):
    shown = answered(drip("campaign", "preview", file, "--json"))
    assert len(shown["recipients"]) == 10
    assert {m["node_id"] for m in shown["recipients"][0]["messages"]} == {"mail", "sms"}
    text = drip("campaign", "preview", file)
    assert "10 people (10 made up)" in text.stdout
    assert "empty: first_name" in text.stdout


def test_a_file_needs_no_database(
    drip: Drip, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("DRIP_DATABASE_URL")
    assert len(answered(drip("campaign", "preview", file, "--json"))["recipients"]) == 10
    assert not (tmp_path / "home" / "postgres").exists()
    monkeypatch.setenv("DRIP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    result = drip("campaign", "preview", file)
    assert result.exit_code == 0
    assert "without a database, all people are made up" in result.stderr


def test_a_published_campaign_is_previewed_as_a_contact(drip: Drip, file: Path, tmp_path: Path):
    recipients = tmp_path / "people.csv"
    recipients.write_text("email,name\nann@acme.io,Ann Archer\n", encoding="utf-8")
    answered(drip("contacts", "import", recipients, "--json"))
    answered(drip("campaign", "publish", file, "--json"))
    result = drip("campaign", "preview", "Tea", "--as", "ann@acme.io", "--node", "mail")
    assert result.exit_code == 0, result.stderr
    assert "Subject: Hello Ann" in result.stdout
    assert "To: ann@acme.io" in result.stdout
    missing = drip("campaign", "preview", "Tea", "--as", "bob@acme.io")
    assert missing.exit_code == 1
    assert "no contact" in missing.stderr


def test_the_page_is_written_and_wrong_options_are_refused(drip: Drip, file: Path, tmp_path: Path):
    written = answered(drip("campaign", "preview", file, "--out", tmp_path / "page", "--json"))
    assert Path(written["file"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert drip("campaign", "preview", file, "--data", "[1]").exit_code == 2
    assert drip("campaign", "preview", tmp_path / "none.yaml").exit_code == 1


def test_testers_get_messages_by_seed_lists(drip: Drip, file: Path, tmp_path: Path):
    people = tmp_path / "people.csv"
    people.write_text("email,name\nann@acme.io,Ann Archer\n", encoding="utf-8")
    answered(drip("contacts", "import", people, "--json"))
    answered(drip("workspace", "seeds", "set", "team", "me@acme.io", "+14155550199", "--json"))
    listed = answered(drip("workspace", "seeds", "list", "--json"))
    assert listed == [{"name": "team", "addresses": ["me@acme.io", "+14155550199"]}]
    sent = drip("campaign", "test-send", file, "--seeds", "team", "--as", "ann@acme.io")
    assert sent.exit_code == 0, sent.stderr
    assert "mail (email) to me@acme.io: recorded" in sent.stdout
    assert "nothing was sent, because DRIP_DELIVERY is `record`" in sent.stdout
    assert drip("campaign", "test-send", file).exit_code == 2
    assert answered(drip("workspace", "seeds", "remove", "team", "--json"))["is_changed"]
    gone = drip("campaign", "test-send", file, "--seeds", "team")
    assert gone.exit_code == 1
    assert "no seed list 'team'" in gone.stderr
    actions = answered(drip("audit", "--json"))
    names = {row["action"] for row in actions}
    assert {"set_seeds", "test_send", "remove_seeds"} <= names
