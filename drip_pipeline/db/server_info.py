"""Facts about the server a database lives on. What is stored in it belongs to other modules."""

from __future__ import annotations

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Database


def server_version(database: Database) -> str:
    """PostgreSQL's version, as in '18.1'."""
    with database.transaction() as connection:
        return str(queries.scalar(connection, "server_version")).partition(" ")[0]
