"""What README and docs/ name exists: commands and their options, settings, targets of make, files,
sensors and jobs.
"""

from __future__ import annotations

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
    r"(?:^|[\s(])drip ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)((?:[^\n`#]|\\\n)*)", re.MULTILINE
)

# Files that a guide tells its reader to make.
TO_BE_MADE = ("drip_pipeline/channels/social_folder.py",)


def code_of(page: Path) -> str:
    """Everything on a page that is set as code."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(block or inline for block, inline in CODE.findall(text))


def command_of(words: list[str]) -> click.Command | None:
    """The command that these words name; words behind it are its arguments."""
    found: click.Command = main
    for word in words:
        if not isinstance(found, click.Group):
            return found
        inner = found.get_command(click.Context(main), word)
        if inner is None:
            return None
        found = inner
    return found


def wrong_calls(code: str) -> list[str]:
    """Calls of `drip` for which there is no command, or no such option."""
    wrong = []
    for called, rest in CALL.findall(code):
        found = command_of(called.split())
        if found is None:
            wrong.append(f"drip {called}")
            continue
        known = {option for param in found.params for option in param.opts} | {"--help"}
        options = re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)
        wrong += [f"drip {called} {option}" for option in options if option not in known]
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page):
    assert wrong_calls(code_of(page)) == []


def test_commands_and_options_that_do_not_exist_are_noticed():
    assert wrong_calls("drip fly away\ndrip campaign show C --backwards\ndrip run --json") == [
        "drip fly away",
        "drip campaign show --backwards",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page):
    known = {setting.name for setting in SETTINGS}
    # Of one machine's tests and benchmarks, and of the proxy's files.
    beside = {"DRIP_BENCH_OUT", "DRIP_OWNER_DATABASE_URL", "DRIP_INGEST_DATABASE_URL"}
    named = set(re.findall(r"\bDRIP_[A-Z][A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= known | beside


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_exist(page):
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"^\s*make ([a-z]+)", code_of(page), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http", "data:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    rooms = r"(?:deploy|examples|sql|docs|drip_pipeline|assets|sensors|tests|benchmarks)"
    for path in re.findall(rf"`({rooms}/[\w./-]+)`", text):
        is_pattern = "NNNN" in path or path in TO_BE_MADE
        assert is_pattern or (CHECKOUT / path).exists(), f"{page.name} names {path}"
