"""Dagster for the tests: an instance that keeps its runs in PostgreSQL, and the engine's settings
pointed at the test's own database.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.urls import dagster_url
from tests.conftest import own_database


@pytest.fixture
def engine_database(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Database:
    """The test's database, as the settings of runs name it."""
    monkeypatch.setenv("DRIP_DATABASE_URL", database.url)
    monkeypatch.setenv("DRIP_HOME", str(tmp_path))
    return database


@pytest.fixture(scope="session")
def dagster_database(server_url: str) -> Iterator[str]:
    """A database for Dagster's storage, one for all tests of a worker."""
    with own_database(server_url, "template0") as made:
        yield made.url


@pytest.fixture
def instance(dagster_database: str) -> Iterator[dg.DagsterInstance]:
    """An instance whose runs and events are in PostgreSQL; it begins without runs."""
    storage = {"postgres": {"postgres_url": dagster_url(dagster_database)}}
    with dg.instance_for_test(overrides={"storage": storage}) as made:
        made.wipe()
        yield made
