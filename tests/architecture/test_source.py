"""What every source file keeps to: no clock below the faces, thin faces, small modules, nothing of
one machine.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from drip_pipeline.settings import CHECKOUT

ROOMS = ("drip_pipeline", "assets", "sensors")
MODULES = sorted(path for room in ROOMS for path in CHECKOUT.glob(f"{room}/**/*.py"))
TESTS = [path for room in ("tests", "benchmarks") for path in CHECKOUT.glob(f"{room}/**/*.py")]
ALL_PYTHON = sorted([*MODULES, *TESTS])

# Time comes in as `now` below these.
CLOCK_READERS = (
    "drip_pipeline/orchestration/", "drip_pipeline/receiver/", "drip_pipeline/cli/", "assets/",
    "sensors/",
)  # fmt: skip
CLOCKS = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
    ("time", "time"), ("time", "time_ns"), ("time", "localtime"), ("time", "gmtime"),
    ("Timestamp", "now"), ("pd", "now"),
}  # fmt: skip
SQL_CLOCKS = re.compile(
    r"\b(now\s*\(\s*\)|clock_timestamp|statement_timestamp|transaction_timestamp"
    r"|current_timestamp|current_date|localtimestamp)\b",
    re.IGNORECASE,
)
LARGEST_MODULE_LINES = 450
FACE_DECORATORS = {
    "asset", "multi_asset", "asset_check", "op", "sensor", "schedule", "asset_sensor",
    "run_failure_sensor", "run_status_sensor", "observable_source_asset",
}  # fmt: skip
LONGEST_FACE_STATEMENTS = 15
LEFT_BEHIND = {"__pycache__", "build", "dist", "node_modules"}


def named(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def clock_calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = name_of(node.value)
            if (owner, node.attr) in CLOCKS:
                yield f"{owner}.{node.attr}, line {node.lineno}"


def name_of(node: ast.AST) -> str:
    """The last part of a dotted name, '' for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def text_files(folder: Path) -> Iterator[Path]:
    """The project's files, without what tools and runs leave behind (their folders begin with a
    dot, or are known).
    """
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            kept_dot_folders = {".ci", ".github"}
            is_left_behind = path.name.startswith(".") or path.name in LEFT_BEHIND
            if path.name in kept_dot_folders or not (is_left_behind or path.suffix == ".egg-info"):
                yield from text_files(path)
        elif path.suffix not in {".parquet", ".png", ".csv", ".pyc"}:
            yield path


def statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Statements in the body, nested ones included, the docstring not."""
    count = sum(isinstance(node, ast.stmt) for node in ast.walk(function)) - 1
    return count - (ast.get_docstring(function) is not None)


def faces(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if name_of(called) in FACE_DECORATORS:
                    yield node


@pytest.mark.parametrize(
    "path", [path for path in MODULES if not named(path).startswith(CLOCK_READERS)], ids=named
)
def test_no_clock_is_read_below_the_faces(path):
    assert list(clock_calls(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "import time\ntime.time()",
        "import time\nclock = time.time",
        "from datetime import date\ndate.today()",
    ],
)
def test_a_clock_call_is_noticed(source):
    assert list(clock_calls(ast.parse(source)))


@pytest.mark.parametrize("path", sorted(CHECKOUT.glob("sql/queries/*.sql")), ids=named)
def test_no_query_reads_the_database_clock(path):
    # One compares it with this machine's, and one with the times of replayed transactions.
    lines = path.read_text(encoding="utf-8").splitlines()
    code = "\n".join(line.partition("--")[0] for line in lines)
    allowed = ["clock_timestamp"] if path.name in {"server.sql", "standby.sql"} else []
    assert SQL_CLOCKS.findall(code) == allowed


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_assets_ops_and_sensors_stay_thin(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    thick = {face.name: statements(face) for face in faces(tree)}
    assert {name: n for name, n in thick.items() if n > LONGEST_FACE_STATEMENTS} == {}


def test_a_thick_face_is_noticed():
    body = "\n".join(f"    x{n} = {n}" for n in range(20))
    (face,) = faces(ast.parse(f"@dg.asset(group_name='x')\ndef rates():\n    'Doc.'\n{body}"))
    assert statements(face) == 20


@pytest.mark.parametrize("path", ALL_PYTHON, ids=named)
def test_modules_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LARGEST_MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_every_module_says_what_belongs_in_it(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert len(docstring.splitlines()) <= 9


def test_nothing_names_a_path_of_one_machine():
    homes = re.compile(r"""(?<![\w.])/(?:root|work|home/\w+|Users/\w+)/""")
    guilty = [
        named(path)
        for path in text_files(CHECKOUT)
        if homes.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert guilty == []


def test_only_the_engine_is_installed():
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'include = ["drip_pipeline*"]' in text


def test_no_two_classes_share_a_name():
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(named(path))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_time_zones_have_one_source(path):
    imported = {
        name.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    uses_zones = bool(imported & {"zoneinfo", "pytz", "dateutil", "dateutil.tz"})
    assert uses_zones == named(path).endswith("conditions/time_zones.py")
