"""The PostgreSQL server of the benchmarks, with durable settings as in production."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from drip_pipeline.db.connection import Database
from drip_pipeline.db.embedded.server import EmbeddedServer
from drip_pipeline.db.migrate import migrate
from drip_pipeline.db.urls import with_database

OVERRIDES = {"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}


@contextmanager
def benchmark_server() -> Iterator[str]:
    """Start a server and yield the URL of a database on it; its files are deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="drip-bench-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedServer(Path(folder), overrides=OVERRIDES)
        try:
            yield server.ensure_running()
        finally:
            server.stop()


@contextmanager
def fresh_database(server_url: str, *, migrated: bool = True) -> Iterator[Database]:
    """Create a database, and drop it at the end."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    _administer(server_url, "CREATE DATABASE {}", name)
    try:
        with Database(with_database(server_url, name), application_name="bench") as database:
            if migrated:
                migrate(database)
            yield database
    finally:
        _administer(server_url, "DROP DATABASE {} WITH (FORCE)", name)


@contextmanager
def copied_database(server_url: str, original: Database) -> Iterator[Database]:
    """Copy a database without connections, and drop the copy at the end.

    Files are copied, which ends with a checkpoint, so none is in progress during a measurement.
    """
    name = f"bench_{uuid.uuid4().hex[:12]}"
    url = with_database(server_url, "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(urlsplit(original.url).path.lstrip("/"))
            )
        )
    try:
        with Database(with_database(server_url, name), application_name="bench") as database:
            yield database
    finally:
        _administer(server_url, "DROP DATABASE {} WITH (FORCE)", name)


def _administer(server_url: str, statement: str, name: str) -> None:
    url = with_database(server_url, "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
