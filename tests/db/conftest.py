"""A server of its own for databases on a hosted platform: roles belong to a whole server, and the
migrations look whether they exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drip_pipeline.db.embedded.server import EmbeddedServer
from tests.conftest import HOME_VARIABLE, OVERRIDES


@pytest.fixture(scope="session")
def platform_url() -> Iterator[str]:
    """The URL of a database on a server where the platform's roles may be made."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    server = EmbeddedServer(
        Path(os.environ[HOME_VARIABLE]) / f"platform-{worker}",
        overrides=OVERRIDES | {"shared_buffers": "64MB", "max_connections": "40"},
    )
    yield server.ensure_running()
    server.stop()
