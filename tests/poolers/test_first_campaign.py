"""A whole campaign through poolers in transaction mode: three engines, migrations, imports,
ingestion, the receiver, metrics and A/B tests.
"""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest

from drip_pipeline.db.connection import Database
from drip_pipeline.db.migrate import migrate, status
from drip_pipeline.errors import DatabaseUnsuitable
from tests.poolers.first_campaign import FirstCampaign
from tests.poolers.transaction_proxy import with_port


@pytest.mark.parametrize("schema", ["public", "own"])
def test_the_first_campaign_runs_through_a_pooler(empty_database, pooler_port, tmp_path, schema):
    with empty_database.transaction() as connection:
        name = empty_database.url.rpartition("/")[2]
        # Sessions of the server would show its own time zone; those of the engine do not.
        connection.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'".encode())
        connection.execute("CREATE SCHEMA IF NOT EXISTS own")
    pooled = with_port(empty_database.url, pooler_port)
    options = "" if schema == "public" else f"?options={quote('-c search_path=own')}"
    # Indexes are built outside a transaction, where options do not hold behind a pooler.
    owner = (pooled if schema == "public" else empty_database.url) + options

    def opened() -> Database:
        return Database(pooled + options)

    for step in FirstCampaign(lambda: Database(owner), opened, tmp_path).steps().values():
        step()
    with psycopg.connect(empty_database.url) as direct:
        tables = direct.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = %s", [schema]
        ).fetchone()
    assert tables is not None
    assert tables[0] > 50


def test_migrating_with_a_schema_in_the_url_is_refused_before_anything_is_done(
    empty_database, pooler_port
):
    pooled = with_port(empty_database.url, pooler_port)
    with Database(f"{pooled}?options=-csearch_path%3Dpublic") as database:
        with pytest.raises(DatabaseUnsuitable, match="search_path") as caught:
            migrate(database)
        assert "ALTER ROLE" in (caught.value.hint or "")
        assert status(database).version == 0
