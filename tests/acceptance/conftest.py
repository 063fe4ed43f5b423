"""Dagster, engine and providers together, as an operator runs them."""

from __future__ import annotations

from tests.channels.conftest import http, smtp
from tests.orchestration.conftest import (
    dagster_database,
    engine_database,
    instance,
)

__all__ = ["dagster_database", "engine_database", "http", "instance", "smtp"]
