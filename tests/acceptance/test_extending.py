"""The worked examples of docs/extending.md: a copy of the code is edited as they say, and what they
promise happens.
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
ROOMS = ("drip_pipeline", "sql")
# A sentence that says where a block belongs may go over a line's end.
STEP = re.compile(
    r"(?:(?P<new>New\s+file)|In)\s+`(?P<file>[^`]+)`"
    r"(?:,\s+(?P<how>after|before|instead\s+of)\s+`(?P<anchor>[^`]+)`)?:\s*\n\n"
    r"```\w+\n(?P<text>.*?)```",
    re.DOTALL,
)
SCRIPT = re.compile(r"See it work:\n\n```python\n(?P<text>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A section of the guide: edits, and a script that shows that they work."""

    title: str
    text: str

    def edits(self) -> Iterator[re.Match[str]]:
        return STEP.finditer(self.text)

    def script(self) -> str:
        found = SCRIPT.search(self.text)
        assert found is not None, f"{self.title}: nothing shows that it works"
        return found["text"]


def examples() -> list[Example]:
    title, *sections = re.split(r"^## ", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    del title
    return [Example(section.partition("\n")[0], section) for section in sections]


def make(edit: re.Match[str], copy: Path) -> None:
    path = copy / edit["file"]
    if edit["new"]:
        assert not path.exists(), f"{edit['file']} is there already"
        path.write_text(edit["text"], encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [n for n, line in enumerate(lines) if line.strip() == edit["anchor"]]
    # An import list may name a thing that the module uses once more: the first place is meant.
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
    for room in ROOMS:
        shutil.copytree(
            CHECKOUT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__")
        )
    edits = list(example.edits())
    assert len(edits) >= 5
    for edit in edits:
        make(edit, tmp_path)
    # Functions that the example changed are applied again.
    migrate = (
        "from drip_pipeline.db.migrate import migrate\n"
        "from drip_pipeline.db.connection import Database\n"
        "from drip_pipeline.settings import Settings\n"
        "with Database.from_settings(Settings.from_env()) as found:\n    migrate(found)\n"
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
