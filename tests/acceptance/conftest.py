"""Dagster, engine and providers together, as an operator runs them."""

from __future__ import annotations

from tests.orchestration.conftest import (
    dagster_database,
    engine_database,
    instance,
)
from tests.unit.channels.conftest import http, smtp

__all__ = ["dagster_database", "engine_database", "http", "instance", "smtp"]
