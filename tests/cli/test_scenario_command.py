"""`drip campaign test` and `drip campaign schema --scenarios`."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from drip_pipeline.cli import main
from drip_pipeline.cli.campaign import scenarios
from drip_pipeline.domain.definition.text_formats import parse_text
from drip_pipeline.settings import CHECKOUT
from tests.domain.definition.json_schema_check import faults

WINBACK = CHECKOUT / "examples" / "winback.yaml"
SCENARIO = """
campaign: {campaign}
people: [{{name: ann, contact: {{email: ann@example.com}}, expect: {{status: {status}}}}}]
"""


def drip(*arguments: object) -> Result:
    """Run a command. No database is configured, and none is started."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def scenario_file(folder: Path, status: str) -> Path:
    path = folder / "winback.scenarios.yaml"
    path.write_text(SCENARIO.format(campaign=WINBACK, status=status), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIP_DATABASE_URL", "postgresql://nobody@192.0.2.1/nothing")


def test_a_passing_file_exits_with_0_and_names_the_edges_that_nobody_walked(tmp_path: Path) -> None:
    result = drip("campaign", "test", scenario_file(tmp_path, "exited"))
    assert result.exit_code == 0, result.output
    assert "winback.scenarios.yaml: 1 of 1 passed" in result.stdout
    assert "Win-back: 6 of 15 edges walked" in result.stdout
    assert "not walked: reaction [event] → warmer" in result.stdout


def test_a_failing_file_exits_with_1_and_writes_json_and_junit(tmp_path: Path) -> None:
    junit = tmp_path / "results.xml"
    path = scenario_file(tmp_path, "completed")
    result = drip("campaign", "test", path, "--json", "--junit", junit)
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert (data["passed"], data["failed"]) == (0, 1)
    assert data["files"][0]["people"][0]["differences"][0].startswith("status: expected completed")
    assert ElementTree.parse(junit).getroot().get("failures") == "1"


def test_a_folder_without_scenarios_is_an_error_with_a_hint(tmp_path: Path) -> None:
    result = drip("campaign", "test", tmp_path)
    assert result.exit_code == 1
    assert "has no scenario file" in result.stderr
    assert "schema --scenarios" in result.stderr


def test_a_watch_runs_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scenario_file(tmp_path, "completed")
    looks = 0

    def look(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            scenario_file(tmp_path, "exited")
        if looks == 4:
            path.unlink()
        if looks == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(scenarios, "sleep", look)
    result = drip("campaign", "test", path, "--watch")
    assert result.exit_code == 1
    runs = result.stdout.strip().split("\n\n")
    assert ["0 of 1" in runs[0], "1 of 1" in runs[1], "No such file" in runs[2]] == [True] * 3
    assert len(runs) == 3


def test_the_schema_accepts_the_examples() -> None:
    schema = json.loads(drip("campaign", "schema", "--scenarios").stdout)
    for path in sorted((CHECKOUT / "examples").rglob("*scenarios.yaml")):
        content = parse_text(path.read_text(encoding="utf-8"))
        assert faults(content, schema, schema) == [], path.name
