"""Dagster's home and storage, as `drip up` and the demo set them up."""

from __future__ import annotations

import uuid

import dagster as dg
import pytest
from dagster._core.run_coordinator import QueuedRunCoordinator

from drip_pipeline.cli.local.dagster_home import dagster_environment, write_workspace
from drip_pipeline.db.connection import Database
from drip_pipeline.db.dagster.storage import storage_url
from drip_pipeline.db.urls import with_database
from drip_pipeline.errors import DatabaseUnavailable, SettingsError
from drip_pipeline.settings import Secret, Settings
from tests.orchestration.running import run_minute


@pytest.fixture
def settings(engine_database: Database, dagster_database: str) -> Settings:
    return Settings.from_env()


def test_dagsters_storage_is_a_database_of_its_own_on_the_same_server(settings, server_url):
    found = storage_url(settings, server_url)
    assert found.startswith("postgresql+psycopg2://")
    assert found.endswith("/dagster")


def test_a_storage_that_is_not_there_is_made(settings, server_url):
    name = f"dagster_{uuid.uuid4().hex}"
    wanted = Secret(with_database(server_url, name))
    named = Settings(home=settings.home, dagster_database_url=wanted)
    storage_url(named, server_url)
    with Database(with_database(server_url, name)) as made, made.transaction() as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (name,)


def test_the_engines_own_database_is_refused_as_storage(settings, server_url):
    same = Settings(home=settings.home, dagster_database_url=Secret(server_url))
    with pytest.raises(SettingsError, match="DRIP_DAGSTER_DATABASE_URL names the engine's own"):
        storage_url(same, server_url)


def test_a_storage_that_cannot_be_made_says_what_to_do(settings):
    nowhere = Secret("postgresql://drip:wrong@127.0.0.1:1/dagster")
    with pytest.raises(DatabaseUnavailable) as caught:
        storage_url(Settings(home=settings.home, dagster_database_url=nowhere), "postgresql:///x")
    assert "DRIP_DAGSTER_DATABASE_URL" in caught.value.hint
    assert "wrong" not in str(caught.value) + caught.value.hint


def test_the_shipped_configuration_makes_an_instance_that_runs_jobs(
    settings, dagster_database, monkeypatch
):
    given = Settings(home=settings.home, dagster_database_url=Secret(dagster_database))
    for name, value in dagster_environment(given, settings.database_url.reveal()).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as instance:
        coordinator = instance.run_coordinator
        assert isinstance(coordinator, QueuedRunCoordinator)
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        limits = queue.tag_concurrency_limits
        per_shard = {"applyLimitPerUniqueValue": True}
        assert {"key": "drip/shard", "value": per_shard, "limit": 1} in limits
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert run_minute(instance).success


def test_the_workspace_names_the_code_server(tmp_path):
    text = write_workspace(tmp_path, 4321).read_text(encoding="utf-8")
    assert "port: 4321" in text
    assert "location_name: drip_pipeline" in text
