"""The poolers of the tests: the proxy everywhere, and PgBouncer where it is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.poolers.pgbouncer import pgbouncer, program
from tests.poolers.transaction_proxy import transaction_proxy

POOLERS = ("proxy", *(("pgbouncer",) if program() else ()))


@pytest.fixture(scope="session", params=POOLERS)
def pooler_port(request: pytest.FixtureRequest, server_url: str) -> Iterator[int]:
    """The port of a pooler in transaction mode, with three sessions per database."""
    if request.param == "proxy":
        with transaction_proxy(server_url) as proxy:
            yield proxy.port
    else:
        with pgbouncer(server_url, sessions=3) as port:
            yield port
