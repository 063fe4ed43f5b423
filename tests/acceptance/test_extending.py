"""The worked examples of docs/extending.md: apply their edits to a copy of the code, and run their
scripts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drip_pipeline.settings import CHECKOUT

GUIDE = CHECKOUT / "docs" / "extending.md"
FOLDERS = ("drip_pipeline", "sql")
# The sentence that names the place of a block may span two lines.
STEP = re.compile(
    r"(?:(?P<new>New\s+file)|In)\s+`(?P<file>[^`]+)`"
    r"(?:,\s+(?P<how>after|before|instead\s+of)\s+`(?P<anchor>[^`]+)`)?:\s*\n\n"
    r"```\w+\n(?P<text>.*?)```",
    re.DOTALL,
)
SCRIPT = re.compile(r"See it work:\n\n```python\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A section of the guide: edits, and a script that tests them."""

    title: str
    text: str

    def edits(self) -> Iterator[re.Match[str]]:
        return STEP.finditer(self.text)

    def script(self) -> str:
        script = SCRIPT.search(self.text)
        assert script is not None, f"{self.title} has no script"
        return script["text"]


def examples() -> list[Example]:
    _, *sections = re.split(r"^## ", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [Example(section.partition("\n")[0], section) for section in sections]


def apply(edit: re.Match[str], copy: Path) -> None:
    path = copy / edit["file"]
    if edit["new"]:
        assert not path.exists(), f"{edit['file']} exists already"
        path.write_text(edit["text"], encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [n for n, line in enumerate(lines) if line.strip() == edit["anchor"]]
    # The anchor may occur again later in the module: the first occurrence is used.
    assert places, f"{edit['file']} has no line {edit['anchor']!r}"
    place = places[0]
    how = edit["how"].split()[0]
    lines[place + (how == "after") : place + (how != "before")] = [edit["text"]]
    path.write_text("".join(lines), encoding="utf-8")


def test_the_guide_has_an_example_of_a_channel_a_node_and_a_metric():
    assert [example.title for example in examples()] == [
        "A new channel",
        "A new node",
        "A new metric",
    ]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.title)
def test_the_example_works(example, database, tmp_path):
    for folder in FOLDERS:
        shutil.copytree(
            CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    edits = list(example.edits())
    assert len(edits) >= 4
    for edit in edits:
        apply(edit, tmp_path)
    # Apply changed SQL functions.
    migrate = (
        "from drip_pipeline.db.migrate import migrate\n"
        "from drip_pipeline.db.connection import Database\n"
        "from drip_pipeline.settings import Settings\n"
        "with Database.from_settings(Settings.from_env()) as database:\n    migrate(database)\n"
    )
    environment = {
        **os.environ,
        "DRIP_DATABASE_URL": database.url,
        "DRIP_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", migrate + example.script()],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
