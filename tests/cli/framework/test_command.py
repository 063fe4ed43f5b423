from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

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


def call(made: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(made, list(arguments))


@dataclass(frozen=True)
class Count:
    people: int
    folder: Path


@command()
@click.option("--people", type=int, default=3)
def count(_invocation: Invocation, people: int) -> CommandResult:
    """Count."""
    return CommandResult(Count(people, Path("x")), f"{people} people")


def answering(answer: Any) -> click.Command:
    @command(name="answer")
    def answer_command(_invocation: Invocation) -> Any:
        """Answer."""
        return answer

    return answer_command


def failing(error: Exception) -> click.Command:
    @command(name="fail")
    def fail_command(_invocation: Invocation) -> None:
        """Fail."""
        raise error

    return fail_command


def test_people_get_text_and_scripts_get_json():
    assert call(count).stdout == "3 people\n"
    answer = call(count, "--people", "5", "--json")
    assert json.loads(answer.stdout) == {"people": 5, "folder": "x"}
    assert answer.exit_code == 0


def test_an_explained_failure_is_one_sentence_and_exit_code_1():
    answer = call(failing(NotAllowed("the campaign is archived", hint="Copy it.")))
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert answer.stderr == "Error: the campaign is archived.\nCopy it.\n"


def test_a_failure_in_json_carries_sentence_and_hint():
    answer = call(failing(NotAllowed("the campaign is archived", hint="Copy it.")), "--json")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout) == {"error": "the campaign is archived", "hint": "Copy it."}


def test_a_missing_file_is_a_sentence_too():
    answer = call(failing(FileNotFoundError(2, "No such file or directory", "people.csv")))
    assert answer.exit_code == 1
    assert answer.stderr == "Error: people.csv: No such file or directory.\n"


def test_addresses_in_errors_are_masked():
    answer = call(failing(NotAllowed("ann@example.com is suppressed")))
    assert "ann@" not in answer.stderr


def test_wrong_usage_is_exit_code_2():
    assert call(count, "--people", "many").exit_code == 2
    assert call(count, "--nonsense").exit_code == 2
    assert call(main, "nonsense").exit_code == 2


def test_bad_news_can_be_an_answer_with_its_own_exit_code():
    answer = call(answering(CommandResult({"ok": False}, "broken", exit_code=1)))
    assert (answer.exit_code, answer.stdout) == (1, "broken\n")


def test_plain_data_is_shown_as_a_table_with_brackets_as_they_are():
    answer = call(answering([{"name": "a[b]c", "is_on": True}]))
    assert "a[b]c" in answer.stdout
    assert "yes" in answer.stdout


def test_times_are_shown_in_utc_to_the_second():
    at = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    answer = call(answering([{"at": at}]))
    assert "│ 2026-03-02 08:00:00 UTC │" in answer.stdout


def test_a_bad_setting_is_explained(monkeypatch):
    monkeypatch.setenv("DRIP_BATCH_SIZE", "many")
    answer = call(count)
    assert answer.exit_code == 1
    assert "DRIP_BATCH_SIZE must be a whole number" in answer.stderr


def test_json_refuses_what_it_cannot_represent():
    with pytest.raises(TypeError):
        json_text({"x": object()})


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_in_the_table_exists_and_takes_json(name):
    found = COMMANDS[name].load()
    commands = found.commands.values() if isinstance(found, click.Group) else [found]
    for each in commands:
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
