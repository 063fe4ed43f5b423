"""The PostgreSQL server of a database."""

from __future__ import annotations

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Database


def server_version(database: Database) -> str:
    """Return PostgreSQL's version, for example '18.1'."""
    with database.transaction() as connection:
        return str(queries.scalar(connection, "server_version")).partition(" ")[0]
