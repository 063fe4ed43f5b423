"""`drip contacts show` in every situation: the first sentence, what is next, the whole text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from drip_pipeline.cli import main
from drip_pipeline.db.connection import Database
from drip_pipeline.engine.explanations.show_person import show_person
from tests.cli.person.snapshots import FOLDER, file_of, shown_at
from tests.engine.explanations.situations import LATER, SITUATIONS, contact_id_of


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_first_sentence_says_what_happens_next_and_when(
    situations: Database, name: str
) -> None:
    situation = SITUATIONS[name]
    shown = show_person(situations, situation.who, now=LATER, campaign=situation.campaign)
    assert shown.sentence == situation.sentence
    assert shown.next_at == situation.next_at


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_output_is_as_in_its_snapshot(situations: Database, name: str) -> None:
    text = shown_at(situations, name)
    assert text == file_of(name).read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 80


def test_there_are_no_other_snapshots() -> None:
    assert set(FOLDER.glob("*.txt")) == {file_of(name) for name in SITUATIONS}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_wider_terminal_shows_the_same_words(situations: Database, name: str) -> None:
    wide, narrow = (shown_at(situations, name, width) for width in (120, 80))
    assert sorted(wide.split()) == sorted(narrow.split())


def test_the_command_prints_the_sentence_first_and_json_has_the_same(
    situations: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("DRIP_DATABASE_URL", situations.url)
    monkeypatch.setenv("DRIP_HOME", str(tmp_path))
    at = ["--now", LATER.isoformat()]
    by_id = CliRunner().invoke(main, ["contacts", "show", str(contact_id_of("time")), *at])
    assert by_id.exit_code == 0, by_id.stderr
    first = " ".join(by_id.stdout.split("\n\n")[0].split())
    assert first == SITUATIONS["waiting for time"].sentence
    call = ["contacts", "show", " TIME@Example.com", "--campaign", "Welcome", "--json", *at]
    answer = json.loads(CliRunner().invoke(main, call).stdout)
    assert answer["sentence"] == first
    assert answer["person"]["email"] == "time@example.com"
    (run,) = answer["runs"]
    assert [entry["event_type"] for entry in run["path"]] == [
        "enrollment_started",
        "email_sent",
        "wait_started",
    ]
    assert run["messages"][0]["opens"] == 1
    assert run["messages"][0]["is_recorded"] is True


def test_an_unknown_contact_gets_a_named_error(situations: Database) -> None:
    from drip_pipeline.errors import CampaignNotFound, NotAllowed

    for who in ("nobody@example.com", "00000000-0000-0000-0000-00000000ffff"):
        with pytest.raises(NotAllowed, match="no contact of the database has this"):
            show_person(situations, who, now=LATER)
    with pytest.raises(NotAllowed, match="no contact of workspace 'Held out'"):
        show_person(situations, "time@example.com", now=LATER, workspace="Held out")
    with pytest.raises(CampaignNotFound):
        show_person(situations, "time@example.com", now=LATER, campaign="News")
