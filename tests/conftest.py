"""A real PostgreSQL for the tests: one server for all workers, one migrated template, a clone of it
for every test.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, Phase, settings
from psycopg import sql

from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded.server import EmbeddedServer
from drip_pipeline.db.migrate import migrate
from drip_pipeline.db.urls import with_database

# Property tests must hold on any machine: a slow one is not an error. The suite draws the same
# cases each time, so that it fails for a change and not by chance, and does not simplify a failing
# case: with a database that takes longer than a test may, and the limit hides the failure.
# `make explore` draws new cases and simplifies what fails.
ANY_MACHINE = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.register_profile(
    "same_cases",
    ANY_MACHINE,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.target),
)
settings.register_profile("explore", ANY_MACHINE)
settings.load_profile("same_cases")

TEMPLATE = "drip_template"
QUICK_FOLDER_BYTES = 4 * 1024**3
# Inherited by the workers of pytest-xdist, which therefore find the same server.
HOME_VARIABLE = "PYTEST_DRIP_HOME"
# A crash loses nothing but test data.
OVERRIDES = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "256MB",
    "autovacuum_naptime": "1h",
    "max_connections": "300",
}


SLEEPERS = ("orchestration/test_supervisor", "orchestration/test_up", "acceptance/test_demo")
"""Tests that wait for processes: five minutes of sleep, and hardly any work."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the tests that wait over the first half of the run, so that every worker gets some:
    one after the other, or at the end of the run, the other workers would wait for one.
    """
    waiting = [item for item in items if any(name in item.nodeid for name in SLEEPERS)]
    others = [item for item in items if item not in set(waiting)]
    step = max(1, len(others) // 2 // max(1, len(waiting)))
    for number, item in enumerate(waiting):
        others.insert(number * (step + 1), item)
    items[:] = others


def pytest_configure(config: pytest.Config) -> None:
    """Choose the server's folder once, in the process that starts the workers. Nothing is started
    yet.
    """
    for name in [name for name in os.environ if name.startswith("DRIP_")]:
        del os.environ[name]  # tests must not depend on, nor reach, what the developer works with
    if not hasattr(config, "workerinput"):
        os.environ[HOME_VARIABLE] = tempfile.mkdtemp(prefix="drip-tests-", dir=quick_folder())
        # The server may run as another user (tests as root), who must get to the folder.
        Path(os.environ[HOME_VARIABLE]).chmod(0o755)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server when the last test is done, and remove its files."""
    if not hasattr(config, "workerinput") and HOME_VARIABLE in os.environ:
        home = Path(os.environ.pop(HOME_VARIABLE))
        EmbeddedServer(home).stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url() -> str:
    """The URL of a database on the tests' server that no test may write to; for making others."""
    server = EmbeddedServer(Path(os.environ[HOME_VARIABLE]), overrides=OVERRIDES)
    return server.ensure_running()


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """The name of a database that has been migrated, once for all workers."""
    with FileLock(Path(os.environ[HOME_VARIABLE]) / "template.lock"):
        if not _exists(server_url, TEMPLATE):
            draft = f"{TEMPLATE}_draft"
            _administer(server_url, "DROP DATABASE IF EXISTS {}", draft)
            _administer(server_url, "CREATE DATABASE {}", draft)
            with Database(with_database(server_url, draft)) as database:
                migrate(database)
            _administer(server_url, "ALTER DATABASE {} RENAME TO {}", draft, TEMPLATE)
    return TEMPLATE


@pytest.fixture
def database(server_url: str, template: str) -> Iterator[Database]:
    """A migrated database of this test's own."""
    with own_database(server_url, template) as made:
        yield made


@pytest.fixture
def empty_database(server_url: str) -> Iterator[Database]:
    """A database of this test's own with nothing in it."""
    with own_database(server_url, "template0") as made:
        yield made


def quick_folder() -> str | None:
    """Memory where there is enough: cloning a database takes 30 ms there, and up to 450 ms on a
    busy disk.
    """
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > QUICK_FOLDER_BYTES:
        return str(memory)
    return None


@contextmanager
def own_database(server_url: str, template: str) -> Iterator[Database]:
    """A clone of a template database, dropped at the end; for fixtures with a wider scope than one
    test.
    """
    name = f"test_{uuid.uuid4().hex}"
    # FILE_COPY: with fsync off, copying the files beats writing every page to the log.
    _administer(server_url, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
    try:
        with Database(with_database(server_url, name), application_name="tests") as database:
            yield database
    finally:
        _administer(server_url, "DROP DATABASE {} WITH (FORCE)", name)


def _administer(server_url: str, statement: str, *names: str) -> None:
    url = with_database(server_url, "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _exists(server_url: str, name: str) -> bool:
    with psycopg.connect(with_database(server_url, "postgres")) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        return found.fetchone() is not None
