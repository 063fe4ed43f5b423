"""On Supabase: what its public roles may do, and a campaign from import to metrics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drip_pipeline.errors import PermissionMissing
from tests.db.supabase import Supabase, supabase_database


@pytest.fixture(scope="module")
def bare(platform_url: str) -> Iterator[Supabase]:
    """A project without tables."""
    with supabase_database(platform_url) as project:
        yield project


def test_the_fixture_grants_what_the_platform_grants(bare):
    with bare.owner.transaction() as connection:
        connection.execute("CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY, x text)")
        connection.execute("INSERT INTO notes (x) VALUES ('a')")
        assert connection.execute("SELECT current_user").fetchone() == (bare.owner_name,)
    with bare.request("anon") as request:
        assert request.execute("SELECT x FROM notes").fetchall() == [("a",)]
        request.execute("TRUNCATE notes")
        assert request.execute("SELECT auth.uid(), auth.role()").fetchone() == (None, "anon")
    with pytest.raises(PermissionMissing), bare.owner.transaction() as own:
        own.execute("SET session_replication_role = replica")
