"""Dagster's home and storage, as `drip up` and the demo set them up."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.run_coordinator import QueuedRunCoordinator

from drip_pipeline.cli.local.dagster_home import (
    SHIPPED_CONFIGURATION,
    dagster_environment,
    dagster_home,
    write_workspace,
)
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


def configuration(home: Path) -> dict[str, Any]:
    text = (dagster_home(Settings(home=home)) / "dagster.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def test_the_operators_settings_are_merged_and_their_file_stays(tmp_path):
    text = (
        "# ours\nconcurrency:\n  runs:\n    max_concurrent_runs: 9\n    tag_concurrency_limits:\n"
        "      - {key: team, value: growth, limit: 2}\n"
        "telemetry: {enabled: true}\n"
        "storage:\n  sqlite:\n    base_dir: /data\n"
    )
    own = tmp_path / "dagster.yaml"
    own.write_text(text, encoding="utf-8")
    for _ in range(2):
        merged = configuration(tmp_path)
        assert own.read_text(encoding="utf-8") == text
    runs = merged["concurrency"]["runs"]
    assert runs["max_concurrent_runs"] == 9
    assert [limit["key"] for limit in runs["tag_concurrency_limits"]] == [
        "team", "drip/shard", "drip/kind", "dagster/backfill",
    ]  # fmt: skip
    assert merged["concurrency"]["pools"] == {"default_limit": 2}
    assert merged["telemetry"] == {"enabled": True}
    assert merged["storage"] == {"sqlite": {"base_dir": "/data"}}
    assert merged["run_retries"]["max_retries"] == 1


def test_a_file_that_an_operator_wrote_into_dagsters_folder_is_moved_and_merged(tmp_path):
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("run_retries: {max_retries: 7}\n", encoding="utf-8")
    assert configuration(tmp_path)["run_retries"]["max_retries"] == 7
    own = (tmp_path / "dagster.yaml").read_text(encoding="utf-8")
    assert own == "run_retries: {max_retries: 7}\n"
    (folder / "dagster.yaml").write_text("nux: {enabled: true}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="two of your files for Dagster"):
        configuration(tmp_path)
    assert (folder / "dagster.yaml").read_text(encoding="utf-8") == "nux: {enabled: true}\n"


def test_the_file_of_an_earlier_release_is_not_the_operators(tmp_path):
    folder = tmp_path / "dagster"
    folder.mkdir()
    shipped = SHIPPED_CONFIGURATION.read_text(encoding="utf-8")
    (folder / "dagster.yaml").write_text(shipped + "nux: {enabled: true}\n", encoding="utf-8")
    assert configuration(tmp_path) == yaml.safe_load(shipped)
    assert not (tmp_path / "dagster.yaml").exists()


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", "plain"])
def test_an_operators_file_that_is_no_mapping_is_refused_by_name(tmp_path, text):
    (tmp_path / "dagster.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"dagster\.yaml is not"):
        configuration(tmp_path)


def test_the_workspace_names_the_code_server(tmp_path):
    text = write_workspace(tmp_path, 4321).read_text(encoding="utf-8")
    assert "port: 4321" in text
    assert "location_name: drip_pipeline" in text
