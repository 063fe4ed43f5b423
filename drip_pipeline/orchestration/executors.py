"""Choose the executor of runs from the settings.

The engine's claims are exclusive in the database, so the same job can run in one process or on many
machines.
"""

from __future__ import annotations

import importlib
from typing import Final

import dagster as dg

from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import Settings

# Module, attribute and distribution of executors from other packages.
_EXTERNAL: Final = {
    "celery": ("dagster_celery", "celery_executor", "dagster-celery"),
    "k8s": ("dagster_k8s", "k8s_job_executor", "dagster-k8s"),
}


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """Return the configured executor. Raises SettingsError if its package is not installed."""
    if settings.executor == "in_process":
        # A process for each step would cost an interpreter and its imports each time: seconds.
        return dg.in_process_executor
    if settings.executor == "multiprocess":
        return dg.multiprocess_executor.configured({"max_concurrent": settings.workers})
    module, name, package = _EXTERNAL[settings.executor]
    try:
        executor: dg.ExecutorDefinition = getattr(importlib.import_module(module), name)
    except ImportError:
        raise SettingsError(
            "DRIP_EXECUTOR",
            f"is {settings.executor}, and the package {package} is not installed",
            hint=f"Install {package} of Dagster's own release beside this project.",
        ) from None
    return executor


def chosen_executor() -> dg.ExecutorDefinition:
    """Return the executor of the environment's settings.

    Invalid settings must not keep the code location from loading, because then no run could report
    them; the default executor is used instead.
    """
    try:
        settings = Settings.from_env()
    except SettingsError:
        settings = Settings()
    return executor_of(settings)
