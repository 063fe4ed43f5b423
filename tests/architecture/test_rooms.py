"""The rooms: imports go one way, and each room keeps to its own tools. The contracts stand in
pyproject.toml.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from drip_pipeline.settings import CHECKOUT

ROOTS = ("drip_pipeline", "assets", "sensors")
LINTER = Path(sys.executable).with_name("lint-imports")


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINTER, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def configuration() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    return found


def test_every_import_contract_is_kept():
    done = linted(CHECKOUT)
    assert done.returncode == 0, done.stdout


def test_every_room_has_its_place_in_the_layers():
    (layers,) = [
        contract["layers"]
        for contract in configuration()["tool"]["importlinter"]["contracts"]
        if contract["id"] == "one-way"
    ]
    placed = {name.strip(" ()") for layer in layers for name in layer.split("|")}
    rooms = {
        f"drip_pipeline.{path.stem}"
        for path in (CHECKOUT / "drip_pipeline").iterdir()
        if path.name != "__init__.py" and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert rooms <= placed


@pytest.mark.parametrize(
    ("room", "statement", "contract"),
    [
        ("domain/identity.py", "import drip_pipeline.engine.runner.tick", "Imports go one way"),
        ("errors.py", "import drip_pipeline.settings", "Imports go one way"),
        ("engine/gc_pause.py", "import psycopg", "Only db/ queries PostgreSQL"),
        ("engine/gc_pause.py", "import dagster", "Only the code location imports Dagster"),
        ("domain/identity.py", "import scipy.stats", "Only experiments/ imports scipy"),
        (
            "engine/execution/claim.py",
            "import drip_pipeline.engine.delivery.settle",
            "Packages of engine/ import one way",
        ),
        (
            "domain/graph/nodes.py",
            "import drip_pipeline.domain.compiler.compile",
            "Packages of domain/ import one way",
        ),
    ],
)
def test_the_contracts_notice_a_forbidden_import(tmp_path, room, statement, contract):
    packages = [path for name in ROOTS for path in (CHECKOUT / name).rglob("*.py")]
    for module in (path.relative_to(CHECKOUT) for path in packages):
        (tmp_path / module.parent).mkdir(parents=True, exist_ok=True)
        (tmp_path / module).touch()
    (tmp_path / "pyproject.toml").write_bytes((CHECKOUT / "pyproject.toml").read_bytes())
    assert linted(tmp_path).returncode == 0
    (tmp_path / "drip_pipeline" / room).write_text(statement + "\n", encoding="utf-8")
    done = linted(tmp_path)
    assert done.returncode == 1
    assert f"{contract} BROKEN" in done.stdout
