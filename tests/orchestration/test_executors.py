"""Where steps are executed is a setting; a wrong one is told in words and keeps nothing from
loading.
"""

from __future__ import annotations

import dagster as dg
import pytest

from drip_pipeline.definitions import build_definitions
from drip_pipeline.errors import SettingsError
from drip_pipeline.orchestration.executors import chosen_executor, executor_of
from drip_pipeline.settings import Settings


def test_steps_share_the_runs_process_unless_told_otherwise():
    assert executor_of(Settings()).name == "in_process"


def test_more_processes_are_a_setting_that_jobs_follow(monkeypatch):
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
def test_an_executor_whose_package_is_missing_names_it(name, package):
    with pytest.raises(SettingsError, match=package) as told:
        executor_of(Settings(executor=name))
    assert package in told.value.hint


def test_settings_that_cannot_be_read_leave_the_code_loading(monkeypatch):
    monkeypatch.setenv("DRIP_EXECUTOR", "threads")
    assert isinstance(chosen_executor(), dg.ExecutorDefinition)
