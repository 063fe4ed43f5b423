"""A/B tests from the command line: results, evaluation, declared winners, calculator, report."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.db.connection import Database
from tests.cli.conftest import Drip, answered
from tests.engine.ab_tests.split_contacts import a_split_test, people
from tests.engine.factories import NOW

LATER = (NOW + timedelta(days=2)).isoformat()


@pytest.fixture
def campaign(database: Database) -> str:
    """Publish a campaign with a test that has a clear winner and a holdout."""
    with database.transaction() as connection:
        test = a_split_test(
            connection, {"a": 40, "b": 40, "holdout": 20}, winner_metric="conversion_rate"
        )
        people(connection, test, "a", 1_000, delivered=990, opened=400, converted=40)
        people(connection, test, "b", 1_000, delivered=980, opened=410, converted=110)
        people(connection, test, "holdout", 500, converted=10)
    return "Welcome"


def test_results_contain_counts_rates_and_verdicts(drip: Drip, campaign: str):
    found = answered(drip("ab", "results", campaign, "--now", LATER, "--json"))
    a, b, holdout = found["variants"]
    assert {name: b[name] for name in b if name.startswith("total_")} == {
        "total_assigned": 1_000, "total_sent": 1_000, "total_delivered": 980, "total_opened": 410,
        "total_clicked": 0, "total_replied": 0, "total_converted": 110, "total_unsubscribed": 0,
        "total_bounced": 0, "total_complained": 0, "total_machine_opened": 0,
        "total_machine_clicked": 0,
    }  # fmt: skip
    assert (b["variant_group"], b["name"], b["is_holdout"]) == ("b", "Variant b", False)
    assert (b["open_rate"], b["delivery_rate"], b["conversion_rate"]) == (41, 98, 11)
    assert b["is_statistically_significant"]
    assert b["is_winner"]
    assert b["confidence_level"] >= 95
    assert b["p_value"] == a["p_value"] < 0.001
    assert not a["is_winner"]
    assert (holdout["total_assigned"], holdout["total_sent"], holdout["p_value"]) == (500, 0, None)
    (pair,) = found["pairs"]
    assert {"a", "b", "chi2", "chi2_p", "decision_p", "interval"} <= set(pair)
    lifts = {lift["variant_group"]: lift for lift in found["holdout"]["lifts"]}
    assert lifts["b"]["difference"] == pytest.approx(9)
    assert lifts["b"]["interval"][0] < 9 < lifts["b"]["interval"][1]
    assert (found["state"], found["reason"]) == ("decided_winner", "leader_beats_all")
    assert found["explanation"].startswith("b wins with a conversion rate of 11.00 %")
    assert (found["decision"], found["other_tests"]) == (None, [])


def test_results_at_a_past_time_for_audits(drip: Drip, campaign: str):
    past = (NOW + timedelta(minutes=1)).isoformat()
    found = answered(drip("ab", "results", campaign, "--as-of", past, "--now", LATER, "--json"))
    assert [v["total_converted"] for v in found["variants"]] == [0, 0, 0]
    assert (found["state"], found["as_of"]) == ("collecting", past)
    shown = drip("ab", "results", campaign, "--as-of", past, "--now", LATER).stdout
    assert shown.startswith("Results at 2026-03-02 09:01:00 UTC.")
    assert drip("ab", "results", campaign, "--as-of", LATER, "--now", past).exit_code == 2
    assert drip("ab", "results", campaign, "--as-of", "2020-01-01").exit_code == 1


def test_results_are_printed_as_a_table_with_an_explanation(drip: Drip, campaign: str):
    shown = drip("ab", "results", campaign, "--now", LATER)
    assert shown.exit_code == 0
    assert "b wins with a conversion rate of 11.00 %" in " ".join(shown.stdout.split())
    assert "b compared with the holdout: +9.00 percentage points of conversions" in shown.stdout
    assert "Next step: " in shown.stdout


def test_an_evaluation_decides_once(drip: Drip, campaign: str):
    first = answered(drip("ab", "judge", campaign, "--now", LATER, "--json"))
    assert [decision["winner_variant"] for decision in first["decisions"]] == ["b"]
    assert (first["evaluations"], first["judged"][0]["state"]) == (1, "decided_winner")
    again = answered(drip("ab", "judge", "--now", LATER, "--json"))
    assert (again["decisions"], again["judged"]) == ([], [])
    assert drip("ab", "judge").stdout.strip() == "no test is running"
    found = answered(drip("ab", "results", campaign, "--now", LATER, "--json"))
    assert found["decision"]["decided_by"] == "engine"


def test_a_winner_is_declared_once_and_a_second_call_names_the_first(drip: Drip, campaign: str):
    arguments = ("--variant", "a", "--reason", "the brand's own", "--by", "Ada", "--now", LATER)
    done = answered(drip("ab", "declare", campaign, *arguments, "--json"))
    assert (done["winner_variant"], done["decided_by"], done["is_by_hand"]) == ("a", "Ada", True)
    second = drip("ab", "declare", campaign, "--variant", "b", "--reason", "no, b")
    assert second.exit_code == 1
    assert "was decided before: a won, decided by Ada" in second.stderr
    assert drip("ab", "declare", campaign, "--variant", "b").exit_code == 2


def test_a_block_is_cleared_only_where_there_is_one(drip: Drip, campaign: str):
    refused = drip("ab", "clear", campaign, "--reason", "looks fine")
    assert refused.exit_code == 1
    assert "no running test of campaign 'Welcome' is blocked" in refused.stderr


def evaluation(**changed: Any) -> dict[str, Any]:
    counts = {
        "total_delivered": 0, "total_opened": 0, "total_clicked": 0, "total_replied": 0,
        "total_unsubscribed": 0, "total_bounced": 0,
    }  # fmt: skip
    mens = counts | {"variant_group": "mens", "total_sent": 21_307, "total_converted": 267}
    womens = counts | {"variant_group": "womens", "total_sent": 21_387, "total_converted": 189}
    return {"variants": [mens, womens], "winner_metric": "conversion_rate"} | changed


def test_the_calculator_needs_no_database(drip: Drip, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DRIP_DATABASE_URL", "postgresql://nobody@localhost:1/nowhere")
    path = tmp_path / "tests.json"
    path.write_text(json.dumps([evaluation(), evaluation(variants=[])]), encoding="utf-8")
    first, second = answered(drip("ab", "evaluate", path, "--json"))
    assert first["state"] == "decided_winner"
    assert [v["conversion_rate"] for v in first["variants"]] == ["1.25", "0.88"]
    assert round(first["pairs"][0]["chi2_p"], 4) == 0.0002
    assert (second["state"], second["reason"]) == ("invalid", "fewer_than_two_variants")
    assert "1. decided_winner" in drip("ab", "evaluate", path).stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "is a JSON list of tests"),
        ('[{"variants": []}]', "item 0, winner_metric: is missing"),
    ],
)
def test_the_calculator_reports_problems_of_its_file(drip: Drip, tmp_path, text, message):
    path = tmp_path / "tests.json"
    path.write_text(text, encoding="utf-8")
    refused = drip("ab", "evaluate", path)
    assert refused.exit_code == 1
    assert message in refused.stderr


def test_a_missing_file_is_reported_by_name(drip: Drip, tmp_path: Path):
    refused = drip("ab", "evaluate", tmp_path / "none.json")
    assert refused.exit_code == 1
    assert "none.json" in refused.stderr


def test_a_report_is_one_file(drip: Drip, campaign: str, tmp_path: Path):
    out = tmp_path / "report.html"
    assert answered(drip("report", campaign, "--out", out, "--now", LATER, "--json")) == {
        "file": str(out)
    }
    assert "b wins with a conversion rate" in out.read_text(encoding="utf-8")
    refused = drip("report", "No such campaign", "--out", out)
    assert refused.exit_code == 1
    assert "No such campaign" in refused.stderr


def test_many_variants_are_rows_that_fit_a_terminal(drip: Drip, database: Database):
    weights = {f"variant_{number:03}": 1.0 for number in range(100)}
    with database.transaction() as connection:
        test = a_split_test(connection, weights, winner_metric="click_rate")
        people(connection, test, "variant_007", 1_000, delivered=990, opened=400, clicked=40)
    shown = drip("ab", "results", "Welcome", "--now", LATER).output
    lines = shown.splitlines()
    assert max(len(line) for line in lines if "variant_" in line) <= 80
    (row,) = [line for line in lines if "variant_007" in line and "│" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "variant_007", "1,000", "1,000", "40 (4.00 %)", "0.00 %", "no",
    ]  # fmt: skip
    assert sum("│ variant_" in line for line in lines) == 100


def test_results_before_the_first_evaluation_say_so(drip: Drip, campaign: str):
    note = "This test has not been evaluated yet"
    assert note in " ".join(drip("ab", "results", campaign, "--now", LATER).output.split())
    drip("ab", "judge", campaign, "--now", LATER)
    assert note not in " ".join(drip("ab", "results", campaign, "--now", LATER).output.split())


def test_a_declared_winner_says_what_happens_to_whom(drip: Drip, campaign: str):
    shown = drip(
        "ab", "declare", campaign, "--variant", "b", "--reason", "x", "--now", LATER
    ).output
    assert "everybody who reaches the split gets it" in " ".join(shown.split())
    assert "holdouts stay held out" in " ".join(shown.split())
