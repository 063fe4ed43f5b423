"""One database with all situations, for all tests of a module: building it takes a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drip_pipeline.db.connection import Database
from tests.conftest import own_database
from tests.engine.explanations.situations import build


@pytest.fixture(scope="module")
def situations(server_url: str, template: str) -> Iterator[Database]:
    """A database with all situations; tests do not change it."""
    with own_database(server_url, template) as database:
        build(database)
        yield database
