"""Fixtures that call the command line on the database of the test."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from drip_pipeline.cli import main
from drip_pipeline.db.connection import Database

Drip = Callable[..., Result]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.fixture
def drip(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Drip:
    """Return a function that runs `drip` with the given arguments on the test's database."""
    monkeypatch.setenv("DRIP_DATABASE_URL", database.url)
    monkeypatch.setenv("DRIP_HOME", str(tmp_path / "home"))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return call


def answered(result: Result) -> Any:
    """Check that a command succeeded, and return the JSON that it printed."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)
