"""Names in README, CONTRIBUTING and docs/ exist: commands, options, settings, make targets, files
and functions.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from drip_pipeline.cli import main
from drip_pipeline.settings import CHECKOUT, SETTINGS

PAGES = sorted(
    [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md"), *CHECKOUT.glob("examples/*/*.md")]
)
CODE = re.compile(r"```[a-z]*\n(.*?)```|`([^`]+)`", re.DOTALL)
CALL = re.compile(
    r"(?:^|[\s(])drip ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*){0,2})((?:[^\n`#]|\\\n)*)", re.MULTILINE
)

# Files that a guide tells the reader to create.
TO_BE_CREATED = ("drip_pipeline/channels/social_folder.py",)


def code_of(page: Path) -> str:
    """Return all code of a page."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(block or inline for block, inline in CODE.findall(text))


def command_of(words: list[str]) -> click.Command | None:
    """Return the command that these words name; further words are its arguments."""
    command: click.Command = main
    for word in words:
        if not isinstance(command, click.Group):
            return command
        inner = command.get_command(click.Context(main), word)
        if inner is None:
            return None
        command = inner
    return command


def wrong_calls(code: str) -> list[str]:
    """Return calls of `drip` with an unknown command or option."""
    wrong = []
    for called, rest in CALL.findall(code):
        command = command_of(called.split())
        if command is None:
            wrong.append(f"drip {called}")
            continue
        known = {option for param in command.params for option in param.opts} | {"--help"}
        options = re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)
        wrong += [f"drip {called} {option}" for option in options if option not in known]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page):
    assert wrong_calls(code_of(page)) == []


def test_unknown_commands_and_options_are_detected():
    assert wrong_calls("drip fly away\ndrip campaign show C --backwards\ndrip run --json") == [
        "drip fly away",
        "drip campaign show --backwards",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page):
    known = {setting.name for setting in SETTINGS}
    # Variables of benchmarks and of the deployment files.
    other = {"DRIP_BENCH_OUT", "DRIP_OWNER_DATABASE_URL", "DRIP_INGEST_DATABASE_URL"}
    named = set(re.findall(r"\bDRIP_[A-Z][A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= known | other


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_exist(page):
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"^\s*make ([a-z]+)", code_of(page), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    for target in [*links, *re.findall(r'<img src="([^"]+)"', text)]:
        if not target.startswith(("http", "data:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    folders = r"(?:deploy|examples|sql|docs|drip_pipeline|assets|sensors|tests|benchmarks)"
    for path in re.findall(rf"`({folders}/[\w./-]+)`", text):
        is_pattern = "NNNN" in path or path in TO_BE_CREATED
        assert is_pattern or (CHECKOUT / path).exists(), f"{page.name} names {path}"


def answers() -> list[tuple[str, str]]:
    """Return the paths and names of the table "Where is …?" of CONTRIBUTING."""
    text = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## Where is …?")[2].partition("\n## ")[0]
    return re.findall(r"^\| Where .*\? \| `([\w./]+)::(\w+)` \|$", table, re.MULTILINE)


def test_the_table_answers_at_least_twenty_questions():
    table = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(answers()) == len(re.findall(r"^\| Where ", table, re.MULTILINE)) >= 20


@pytest.mark.parametrize(("path", "name"), answers())
def test_functions_of_the_table_exist(path, name):
    tree = ast.parse((CHECKOUT / path).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert name in defined
