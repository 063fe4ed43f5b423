"""The PostgreSQL server of a database."""

from __future__ import annotations

from datetime import datetime

from drip_pipeline.db import queries
from drip_pipeline.db.connection import Connection, Database


def server_version(database: Database) -> str:
    """Return PostgreSQL's version, for example '18.1'."""
    with database.transaction() as connection:
        return str(queries.scalar(connection, "server_version")).partition(" ")[0]


def server_clock(connection: Connection) -> datetime:
    """Return the time of the server's clock."""
    time: datetime = queries.scalar(connection, "server_clock")
    return time
