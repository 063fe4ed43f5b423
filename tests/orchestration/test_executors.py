"""The executor is a setting. An invalid one is reported and does not keep the code from loading."""

from __future__ import annotations

import dagster as dg
import pytest

from drip_pipeline.definitions import build_definitions
from drip_pipeline.errors import SettingsError
from drip_pipeline.orchestration.executors import chosen_executor, executor_of
from drip_pipeline.settings import Settings


def test_steps_run_in_the_process_of_the_run_by_default():
    assert executor_of(Settings()).name == "in_process"


def test_jobs_use_the_multiprocess_executor_of_the_settings(monkeypatch):
    monkeypatch.setenv("DRIP_EXECUTOR", "multiprocess")
    monkeypatch.setenv("DRIP_WORKERS", "3")
    job = build_definitions().resolve_job_def("run_due_workflows")
    assert job.executor_def.name == "multiprocess"
    configured = job.executor_def.apply_config_mapping({"config": {}})
    assert configured.value is not None
    assert configured.value["config"]["max_concurrent"] == 3


@pytest.mark.parametrize(
    ("name", "package"), [("celery", "dagster-celery"), ("k8s", "dagster-k8s")]
)
def test_a_missing_executor_package_is_named(name, package):
    with pytest.raises(SettingsError, match=package) as caught:
        executor_of(Settings(executor=name))
    assert package in caught.value.hint


def test_the_code_loads_with_invalid_settings(monkeypatch):
    monkeypatch.setenv("DRIP_EXECUTOR", "threads")
    assert isinstance(chosen_executor(), dg.ExecutorDefinition)
