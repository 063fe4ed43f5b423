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


def code_of(page: Path) -> str:
    """Everything on a page that is set as code."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(block or inline for block, inline in CODE.findall(text))


def command_of(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """The command that these words name, as far as they do."""
    context = click.Context(main)
    found: click.Command = main
    path = []
    for word in words:
        if not isinstance(found, click.Group):
            break
        inner = found.get_command(context, word)
        if inner is None:
            return (None, words) if not path or isinstance(found, click.Group) else (found, path)
        found = inner
        path.append(word)
    return found, path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page):
    for called, rest in CALL.findall(code_of(page)):
        words = called.split()
        found, _ = command_of(words)
        if found is None and len(words) > 1:
            found, _ = command_of(words[:1])
            assert not isinstance(found, click.Group), f"drip {called} is no command"
        assert found is not None, f"drip {called} is no command"
        known = {option for param in found.params for option in param.opts}
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest):
            assert option in known | {"--help"}, f"drip {called} has no {option}"


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
        assert (CHECKOUT / path).exists(), f"{page.name} names {path}"
