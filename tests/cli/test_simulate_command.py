"""`drip campaign simulate`: people from each source, the page, JSON, and wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from drip_pipeline.cli import main
from drip_pipeline.db.connection import Database
from drip_pipeline.settings import CHECKOUT
from tests.cli.conftest import Drip, answered
from tests.engine.factories import a_workspace, contacts

WINBACK = str(CHECKOUT / "examples" / "winback.yaml")
START = ("--start", "2026-03-02T09:00Z")


def simulate(*arguments: object) -> Result:
    """Simulate a file. No database is configured, and none is started."""
    return CliRunner().invoke(main, ["campaign", "simulate", *map(str, arguments)])


def test_made_up_people_need_no_database_and_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIP_DATABASE_URL", "postgresql://nobody@192.0.2.1/nothing")
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    results = [
        simulate(
            WINBACK, "--made-up", 300, "--days", 12, "--channel-rate", "email=1",
            "--open-rate", "40%", "--json", "--out", page, *START,
        )
        for page in pages
    ]  # fmt: skip
    assert answered(results[0]) == answered(results[1])
    assert pages[0].read_bytes() == pages[1].read_bytes()
    page = pages[0].read_text(encoding="utf-8")
    for part in ("Where people are", "When the load comes", "What is held back", "How runs end"):
        assert part in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    data = answered(results[0])
    assert data["population"]["entered"] == 300
    assert data["rates"]["offer"]["opened"] == 0.4
    assert data["messages"]["email"]["rate_per_second"] == 1.0


def test_the_terminal_says_load_ends_and_rates(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,ai_score,tags\nann@example.com,90,vip\nbob@example.com,5,\nx,1,\n")
    result = simulate(WINBACK, "--people", path, *START)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("2 people enter and get")
    for part in ("half have ended after", "busiest hour", "did not enter: 1 ", "rates from: def"):
        assert part in result.stdout


def test_a_published_campaign_takes_its_contacts_from_the_workspace(
    database: Database, drip: Drip
) -> None:
    with database.transaction() as connection:
        contacts(connection, a_workspace(connection), 30)
    answered(drip("campaign", "publish", WINBACK, "--json"))
    data = answered(drip("campaign", "simulate", "Win-back", "--sample", "20", "--json", *START))
    assert (data["version"], data["population"]["entered"]) == (1, 20)
    assert answered(
        drip("campaign", "simulate", WINBACK, "--sample", "20", "--json", *START)
    )["population"] == data["population"]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "one of --people, --sample and --made-up"),
        (("--made-up", 5, "--sample", 5), 2, "one of --people"),
        (("--made-up", 5, "--open-rate", "30"), 2, "write 0.25 or 25%"),
        (("--made-up", 5, "--channel-rate", "email"), 2, "CHANNEL=MESSAGES_A_SECOND"),
        (("--made-up", 5, "--over", "soon"), 2, "not a length of time"),
        (("--people", "gone.csv"), 1, "gone.csv"),
    ],
)
def test_wrong_options_are_explained(arguments: tuple[object, ...], code: int, said: str) -> None:
    result = simulate(WINBACK, *arguments)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr


def test_a_file_of_rates_that_names_an_unknown_node_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text("nodes: {offr: {opened: 0.5}}\nevents: {login_failed: {rate: 0.1}}\n")
    result = simulate(WINBACK, "--made-up", 5, "--rates", path)
    assert result.exit_code == 1
    assert "no message node offr" in result.stderr
    assert "we_miss_you, thanks, offer" in result.stderr
    path.write_text("events: {login_failed: {rate: 0.1}}\n")
    data = json.loads(simulate(WINBACK, "--made-up", 5, "--rates", path, "--json").stdout)
    assert "The campaign does not read the event login_failed." in data["left_out"]
