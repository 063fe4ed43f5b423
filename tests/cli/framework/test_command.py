from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from click.testing import CliRunner, Result

from drip_pipeline.cli import COMMANDS, main
from drip_pipeline.cli.framework.command import CommandResult, Invocation, command, json_text
from drip_pipeline.errors import NotAllowed


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def call(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


@dataclass(frozen=True)
class Count:
    people: int
    folder: Path


@command()
@click.option("--people", type=int, default=3)
def count(_invocation: Invocation, people: int) -> CommandResult:
    """Count."""
    return CommandResult(Count(people, Path("x")), f"{people} people")


def returning(result: Any) -> click.Command:
    @command(name="return")
    def return_command(_invocation: Invocation) -> Any:
        """Return."""
        return result

    return return_command


def failing(error: Exception) -> click.Command:
    @command(name="fail")
    def fail_command(_invocation: Invocation) -> None:
        """Fail."""
        raise error

    return fail_command


def test_the_default_is_text_and_json_is_optional():
    assert call(count).stdout == "3 people\n"
    result = call(count, "--people", "5", "--json")
    assert json.loads(result.stdout) == {"people": 5, "folder": "x"}
    assert result.exit_code == 0


def test_an_explained_failure_is_one_sentence_and_exit_code_1():
    result = call(failing(NotAllowed("the campaign is archived", hint="Copy it.")))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: the campaign is archived.\nCopy it.\n"


def test_a_failure_in_json_carries_sentence_and_hint():
    result = call(failing(NotAllowed("the campaign is archived", hint="Copy it.")), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"error": "the campaign is archived", "hint": "Copy it."}


def test_a_missing_file_is_an_explained_failure():
    result = call(failing(FileNotFoundError(2, "No such file or directory", "people.csv")))
    assert result.exit_code == 1
    assert result.stderr == "Error: people.csv: No such file or directory.\n"


def test_addresses_in_errors_are_masked():
    result = call(failing(NotAllowed("ann@example.com is suppressed")))
    assert "ann@" not in result.stderr


def test_wrong_usage_is_exit_code_2():
    assert call(count, "--people", "many").exit_code == 2
    assert call(count, "--nonsense").exit_code == 2
    assert call(main, "nonsense").exit_code == 2


def test_a_result_can_have_its_own_exit_code():
    result = call(returning(CommandResult({"ok": False}, "broken", exit_code=1)))
    assert (result.exit_code, result.stdout) == (1, "broken\n")


def test_data_is_printed_as_a_table_without_markup():
    result = call(returning([{"name": "a[b]c", "is_on": True}]))
    assert "a[b]c" in result.stdout
    assert "yes" in result.stdout


def test_times_are_printed_in_utc_to_the_second():
    at = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    result = call(returning([{"at": at}]))
    assert "│ 2026-03-02 08:00:00 UTC │" in result.stdout


def test_a_bad_setting_is_explained(monkeypatch):
    monkeypatch.setenv("DRIP_BATCH_SIZE", "many")
    result = call(count)
    assert result.exit_code == 1
    assert "DRIP_BATCH_SIZE must be a whole number" in result.stderr


def test_json_raises_for_unknown_types():
    with pytest.raises(TypeError):
        json_text({"x": object()})


def commands_in(loaded):
    """A command, or all commands of a group and of its groups."""
    if not isinstance(loaded, click.Group):
        return [loaded]
    return [each for inner in loaded.commands.values() for each in commands_in(inner)]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_in_the_table_exists_and_takes_json(name):
    for each in commands_in(COMMANDS[name].load()):
        assert "--json" in {option for parameter in each.params for option in parameter.opts}
        assert each.help


def test_help_names_every_command_without_importing_one():
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom drip_pipeline.cli import main\n"
        "print(CliRunner().invoke(main, ['--help']).output)\n"
        "heavy = {'psycopg', 'dagster', 'pandas', 'rich', 'structlog', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert all(name in printed for name in COMMANDS)


def test_the_module_runs_like_the_script():
    assert importlib.import_module("drip_pipeline.cli.__main__").main is main


class Row(NamedTuple):
    name: str
    at: datetime


def test_named_tuples_are_printed_by_column_and_written_as_objects():
    row = Row("first", datetime(2026, 3, 2, 9, tzinfo=UTC))
    assert json.loads(json_text({"rows": [row]})) == {
        "rows": [{"name": "first", "at": "2026-03-02T09:00:00+00:00"}]
    }
    text = call(returning([row])).stdout
    assert "name" in text
    assert "2026-03-02 09:00:00 UTC" in text
    assert "first" in call(returning(row)).stdout
