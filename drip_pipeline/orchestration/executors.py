"""Where the steps of a run are executed. The engine's claims are exclusive in the database, so the
same job runs in one process or on many machines; which, the settings say.
"""

from __future__ import annotations

import importlib
from typing import Final

import dagster as dg

from drip_pipeline.errors import SettingsError
from drip_pipeline.settings import Settings

# Where each executor of a package of its own is found.
_ELSEWHERE: Final = {
    "celery": ("dagster_celery", "celery_executor", "dagster-celery"),
    "k8s": ("dagster_k8s", "k8s_job_executor", "dagster-k8s"),
}


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """The executor that the settings name. Raises SettingsError when its package is missing."""
    if settings.executor == "in_process":
        # A step in a process of its own would cost an interpreter and its imports each: seconds.
        return dg.in_process_executor
    if settings.executor == "multiprocess":
        return dg.multiprocess_executor.configured({"max_concurrent": settings.workers})
    module, name, package = _ELSEWHERE[settings.executor]
    try:
        found: dg.ExecutorDefinition = getattr(importlib.import_module(module), name)
    except ImportError:
        raise SettingsError(
            "DRIP_EXECUTOR",
            f"is {settings.executor}, and the package {package} is not installed",
            hint=f"Install {package} of Dagster's own release beside this project.",
        ) from None
    return found


def chosen_executor() -> dg.ExecutorDefinition:
    """The executor of the environment's settings. Settings that cannot be read must not keep the
    code from loading: the runs say what is wrong with them.
    """
    try:
        settings = Settings.from_env()
    except SettingsError:
        settings = Settings()
    return executor_of(settings)
